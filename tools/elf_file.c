// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elf_file.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLASS_HERE (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define DATA_HERE  (BYTE_ORDER == LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)

/* Before it, both classes have the same header. */
#define MACHINE_OFF 18

static uint16_t read_u16(const unsigned char *bytes, uint8_t data)
{
	return data == ELFDATA2MSB ? (uint16_t)(bytes[0] << 8 | bytes[1])
				   : (uint16_t)(bytes[1] << 8 | bytes[0]);
}

static int read_ident(int fd, struct elf_file *out)
{
	unsigned char head[MACHINE_OFF + 2];

	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	out->class = head[EI_CLASS];
	out->data = head[EI_DATA];
	out->machine = read_u16(head + MACHINE_OFF, out->data);
	return 0;
}

static int read_loader(int fd, struct elf_file *out)
{
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) phdr;
	off_t off;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != (ssize_t)sizeof(ehdr) ||
	    ehdr.e_phentsize != sizeof(phdr))
		return -ENOEXEC;
	for (size_t i = 0; i < ehdr.e_phnum; i++) {
		off = (off_t)(ehdr.e_phoff + i * sizeof(phdr));
		if (pread(fd, &phdr, sizeof(phdr), off) !=
		    (ssize_t)sizeof(phdr))
			return -ENOEXEC;
		if (phdr.p_type != PT_INTERP)
			continue;
		if (phdr.p_filesz >= sizeof(out->loader) ||
		    pread(fd, out->loader, phdr.p_filesz,
			  (off_t)phdr.p_offset) != (ssize_t)phdr.p_filesz)
			return -ENOEXEC;
	}
	return 0;
}

int elf_file_read(const char *path, struct elf_file *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return -errno;
	*out = (struct elf_file){ 0 };
	rc = read_ident(fd, out);
	if (!rc && out->class == CLASS_HERE && out->data == DATA_HERE)
		rc = read_loader(fd, out);
	close(fd);
	return rc;
}

bool elf_file_same_machine(const struct elf_file *a, const struct elf_file *b)
{
	return a->class == b->class && a->data == b->data &&
	       a->machine == b->machine;
}

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{ EM_386, "i386" },	{ EM_X86_64, "x86-64" },
	{ EM_ARM, "arm" },	{ EM_AARCH64, "arm64" },
	{ EM_PPC, "powerpc" },	{ EM_PPC64, "powerpc64" },
	{ EM_S390, "s390" },	{ EM_MIPS, "mips" },
	{ EM_RISCV, "risc-v" },
};

void elf_file_machine(const struct elf_file *elf, char *text, size_t cap)
{
	const char *bits = elf->class == ELFCLASS32 ? "32-bit " : "";

	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		if (machines[i].machine != elf->machine)
			continue;
		if (elf->machine == EM_386)
			bits = "";
		snprintf(text, cap, "%s%s", bits, machines[i].name);
		return;
	}
	snprintf(text, cap, "%smachine type %u", bits, elf->machine);
}
