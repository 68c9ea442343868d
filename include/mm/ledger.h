/* Test builds: who has dropped translations of frames that are freed. selftest/ledger.c. */
#ifndef KEYHOLE_MM_LEDGER_H
#define KEYHOLE_MM_LEDGER_H

#include "types.h"

#ifdef CONFIG_TEST
/* Rights are being removed from a p2m, whose generation has moved: the removal's number. */
uint64_t ledger_removal(void);
/* CPU cpu has been told to drop what it has of that removal. */
void ledger_told(uint32_t cpu, uint64_t removal);
/* The last removal so far; this CPU has dropped what it had of all up to that one. */
uint64_t ledger_now(void);
void ledger_dropped(uint64_t removal);
/* Frames that this CPU frees begin to wait for their epoch; they have waited, and are freed. */
void ledger_frames_wait(void);
void ledger_frames_go(void);
#else
static inline uint64_t ledger_removal(void)
{
	return 0;
}
static inline void ledger_told(uint32_t cpu, uint64_t removal)
{
	(void)cpu;
	(void)removal;
}
static inline uint64_t ledger_now(void)
{
	return 0;
}
static inline void ledger_dropped(uint64_t removal)
{
	(void)removal;
}
static inline void ledger_frames_wait(void) {}
static inline void ledger_frames_go(void) {}
#endif

#endif
