// SPDX-License-Identifier: LGPL-2.1-or-later
#include "interrupt.h"

#include <signal.h>

static volatile sig_atomic_t interrupted;

static void handle(int signal)
{
	(void)signal;
	interrupted = 1;
}

void bench_interrupt_catch(void)
{
	struct sigaction action = {
		.sa_handler = handle,
		.sa_flags = SA_RESTART | (int)SA_RESETHAND,
	};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

bool bench_interrupted(void)
{
	return interrupted;
}
