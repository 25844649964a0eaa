// SPDX-License-Identifier: LGPL-2.1-or-later
#include "calm.h"

#include <pthread.h>
#include <stddef.h>

void pmv_calm_signals(sigset_t *set)
{
	static const int raised[] = { SIGBUS, SIGSEGV, SIGILL,
				      SIGFPE, SIGTRAP, SIGSYS };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(raised) / sizeof(raised[0]); i++)
		sigdelset(set, raised[i]);
}

void pmv_calm_begin(struct pmv_calm *calm)
{
	sigset_t set;

	pmv_calm_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, &calm->signals);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &calm->cancel_type);
}

void pmv_calm_end(const struct pmv_calm *calm)
{
	int deferred;

	pthread_setcanceltype(calm->cancel_type, &deferred);
	pthread_sigmask(SIG_SETMASK, &calm->signals, NULL);
}
