/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "confine.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "t.h"

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_EQ(value, yes, no) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes, no)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(what))

static bool install(struct sock_filter *code, size_t n)
{
	struct sock_fprog program = {
		.len = (unsigned short)n,
		.filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

bool t_refuse_syscall(long nr, int err)
{
	struct sock_filter code[] = {
		LOAD(nr),
		JUMP_EQ(nr, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | (unsigned int)err),
		RETURN(SECCOMP_RET_ALLOW),
	};

	return install(code, T_COUNT(code));
}

bool t_refuse_ioctl(unsigned long request, int err)
{
	struct sock_filter code[] = {
		LOAD(nr),
		JUMP_EQ(__NR_ioctl, 0, 3),
		LOAD(args[1]), /* the low half: all supported hosts are LE */
		JUMP_EQ(request, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | (unsigned int)err),
		RETURN(SECCOMP_RET_ALLOW),
	};

	return install(code, T_COUNT(code));
}

bool t_only_ioctl(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		JUMP_EQ(__NR_ioctl, 5, 0),
		JUMP_EQ(__NR_write, 4, 0),
		JUMP_EQ(__NR_futex, 3, 0),
		JUMP_EQ(__NR_exit, 2, 0),
		JUMP_EQ(__NR_exit_group, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(SECCOMP_RET_ALLOW),
	};

	return install(code, T_COUNT(code));
}

bool t_become_nobody(void)
{
	/* Root of a user namespace has nobody else to become. */
	if (geteuid() != 0 || setgroups(0, NULL) != 0)
		return false;
	if (setresgid(65534, 65534, 65534) != 0 ||
	    setresuid(65534, 65534, 65534) != 0)
		t_die("becoming nobody");
	/* Else /proc/self stays root's, as after any change of user. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
		t_die("PR_SET_DUMPABLE");
	return true;
}
