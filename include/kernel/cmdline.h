/* The hypervisor's own command line. kernel/cmdline.c; each option is described there. */
#ifndef KEYHOLE_KERNEL_CMDLINE_H
#define KEYHOLE_KERNEL_CMDLINE_H

#include "barriers.h"
#include "print.h"
#include "types.h"

enum selftest_mode { SELFTEST_NONE, SELFTEST_YES, SELFTEST_ONLY, SELFTEST_EXPLAIN, SELFTEST_FAIL };

struct cmdline_options {
	uint32_t console; /* CONSOLE_* bits (kernel/console.h) */
	enum log_level loglvl;
	bool window_cached;
	uint32_t cpus; /* at most so many are started */
	enum selftest_mode selftest;
	bool poweroff;
	bool dump_registers;
	bool apicv;
	enum mitigations mitigations;
	bool smt;	 /* use every thread of a core */
	bool restart;	 /* guests can be made again of their modules */
	bool colour;	 /* guests' lines are coloured */
	bool map;	 /* print what is mapped, for tools/map */
	bool trace;	 /* what happens is noted, and written to COM2 at the end */
	bool bench_load; /* bench builds only */
};

/* Constant after boot. */
extern struct cmdline_options cmdline_options;

void cmdline_parse(const char *line, struct cmdline_options *out);

#endif
