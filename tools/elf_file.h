/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the first bytes of a program or a library tell of it.
 */
#ifndef TOOLS_ELF_FILE_H
#define TOOLS_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
	uint8_t class;	  /* ELFCLASS32, ELFCLASS64 */
	uint8_t data;	  /* ELFDATA2LSB, ELFDATA2MSB */
	uint16_t machine; /* EM_* */
	/* The path of its dynamic loader; empty: it has none, or was made for
	 * another word size or byte order than this program. */
	char loader[256];
};

/* 0, -ENOEXEC when it is no ELF file, or another negative errno. */
int elf_file_read(const char *path, struct elf_file *out);

/* Does one process have room for both? */
bool elf_file_same_machine(const struct elf_file *a, const struct elf_file *b);

/* "x86-64", "32-bit arm", ... */
void elf_file_machine(const struct elf_file *elf, char *text, size_t cap);

#endif /* TOOLS_ELF_FILE_H */
