/* Whether it panics to take a lock while another, or the same, is held. */
#ifndef KEYHOLE_TESTS_LOCK_PANICS_H
#define KEYHOLE_TESTS_LOCK_PANICS_H

#include "lock.h"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Takes b while a is held, in a child. */
static inline bool lock_panics(struct lock *a, struct lock *b)
{
	int status;

	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(2);
		lock_acquire(a);
		lock_acquire(b);
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status);
}

#endif
