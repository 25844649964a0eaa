// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: what /proc tells of a process.
 */
#include "top.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "run.h"
#include "stats_page.h"

static FILE *open_file(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

/* Others could name a mapping so: what is read there is not trusted. */
static bool is_page(const char *name)
{
	return !strcmp(name, "[anon:" PMV_STATS_PAGE_NAME "]") ||
	       !strcmp(name, "/memfd:" PMV_STATS_PAGE_NAME " (deleted)");
}

static bool is_shim(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash && !strncmp(slash + 1, RUN_SHIM, strlen(RUN_SHIM));
}

int top_find_page(pid_t pid, uint64_t *addr)
{
	FILE *maps = open_file(pid, "maps");
	int rc = TOP_NO_MAPPING, name_at;
	size_t cap = 0;
	char *line = NULL;

	if (!maps)
		return errno == ENOENT ? -ESRCH : -errno;
	while (rc != TOP_PAGE && getline(&line, &cap, maps) > 0) {
		line[strcspn(line, "\n")] = '\0';
		name_at = 0;
		if (sscanf(line, "%" SCNx64 "-%*x %*s %*x %*s %*u %n", addr,
			   &name_at) != 1 ||
		    !name_at)
			continue;
		if (is_page(line + name_at))
			rc = TOP_PAGE;
		else if (is_shim(line + name_at))
			rc = TOP_SHIM_ONLY;
	}
	/* A process that ends while its list is read has an end of it. */
	if (ferror(maps))
		rc = -errno;
	free(line);
	fclose(maps);
	return rc;
}

bool top_is_switched_off(pid_t pid)
{
	FILE *file = open_file(pid, "environ");
	bool found = false;
	char *variable = NULL;
	const char *at;
	size_t cap = 0;

	while (file && getdelim(&variable, &cap, '\0', file) > 0) {
		at = variable + strlen(RUN_CONF);
		if (strncmp(variable, RUN_CONF "=", strlen(RUN_CONF) + 1))
			continue;
		for (; *at && !found; at += 1 + strcspn(at + 1, ","))
			found = !strncmp(at + 1, "top=off", 7) &&
				strchr(",", at[8]);
	}
	free(variable);
	if (file)
		fclose(file);
	return found;
}

void top_make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

void top_command(pid_t pid, char *text, size_t cap)
{
	FILE *comm = open_file(pid, "comm");

	if (!comm || !fgets(text, (int)cap, comm))
		snprintf(text, cap, "?");
	if (comm)
		fclose(comm);
	text[strcspn(text, "\n")] = '\0';
	top_make_printable(text);
}

/* The words behind "NAME:" in its status. */
static bool status_field(pid_t pid, const char *name, char *text, size_t cap)
{
	FILE *status = open_file(pid, "status");
	size_t len = strlen(name);
	bool found = false;
	char line[512];

	while (status && !found && fgets(line, sizeof(line), status)) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, cap, "%s",
			 line + len + 1 + strspn(line + len + 1, " \t"));
		found = true;
	}
	if (status)
		fclose(status);
	return found;
}

pid_t top_inner_pid(pid_t pid)
{
	const char *last;
	char text[512];

	if (!status_field(pid, "NSpid", text, sizeof(text)))
		return 0;
	last = strrchr(text, '\t');
	return (pid_t)strtol(last ? last : text, NULL, 10);
}

bool top_is_alive(pid_t pid)
{
	char state[64];

	return status_field(pid, "State", state, sizeof(state)) &&
	       state[0] != 'Z' && state[0] != 'X';
}

/* Whose it is, where all its user ids are those of one user. */
static bool owner(pid_t pid, uid_t *uid)
{
	unsigned int real, effective, saved, fs;
	char text[128];

	if (!status_field(pid, "Uid", text, sizeof(text)) ||
	    sscanf(text, "%u %u %u %u", &real, &effective, &saved, &fs) != 4 ||
	    real != effective || real != saved || real != fs)
		return false;
	*uid = real;
	return true;
}

static void explain_refusal(pid_t pid, const char *who, char *text, size_t cap)
{
	long long scope =
		host_read_number("/proc/sys/kernel/yama/ptrace_scope", 0);
	const struct passwd *user;
	uid_t uid;

	if (owner(pid, &uid) && uid != geteuid()) {
		user = getpwuid(uid);
		snprintf(text, cap,
			 "%s belongs to another user (%s), whose processes you "
			 "may not look into: be that user, or root",
			 who, user ? user->pw_name : "no name");
	} else if (scope >= 3) {
		snprintf(text, cap,
			 "kernel.yama.ptrace_scope = %lld lets nobody look "
			 "into %s until the system is started anew",
			 scope, who);
	} else if (scope > 0 && geteuid()) {
		snprintf(text, cap,
			 "kernel.yama.ptrace_scope = %lld lets only root look "
			 "into %s: use sudo, or set it to 0",
			 scope, who);
	} else {
		snprintf(text, cap,
			 "the kernel does not let you look into %s, as it has "
			 "changed its user, has more rights than you, or runs "
			 "a program that you may not read: be root, with "
			 "CAP_SYS_PTRACE",
			 who);
	}
}

void top_explain(pid_t pid, int error, char *text, size_t cap)
{
	char who[128], command[64];

	top_command(pid, command, sizeof(command));
	snprintf(who, sizeof(who), "process %d (%s)", (int)pid, command);
	switch (-error) {
	case ESRCH:
		snprintf(text, cap, "there is no process %d", (int)pid);
		break;
	case ENOENT:
		snprintf(text, cap,
			 "%s does not run under the shim: start it with "
			 "'pagemv run PROG'",
			 who);
		break;
	case ENODATA:
		snprintf(text, cap,
			 "%s was started with top=off in " RUN_CONF
			 ": start it without",
			 who);
		break;
	case EPROTO:
		snprintf(text, cap,
			 "%s runs under the shim of another version of "
			 "libpagemv: use the pagemv of that version",
			 who);
		break;
	case EACCES:
	case EPERM:
		explain_refusal(pid, who, text, cap);
		break;
	default:
		snprintf(text, cap, "%s cannot be looked into: %s", who,
			 strerror(-error));
	}
}
