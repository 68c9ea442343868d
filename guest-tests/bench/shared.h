/*
 * What the benchmark guest and its peer have agreed on.
 */
#ifndef BENCH_SHARED_H
#define BENCH_SHARED_H

#define REF_CONTROL 8u /* read and write: struct bench_control */
#define REF_FIRST   64u
#define GRANTS	    64u /* references from REF_FIRST on, a page each */

#define FOREIGN_START 0x800000ul /* guest-physical: RAM of the peer */
#define FOREIGN_PAGES 512u

struct bench_control {
	volatile unsigned done; /* the measurements are over */
};

#endif
