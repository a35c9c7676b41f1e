// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The name of a function, found by a signal handler.
 *
 * dladdr() takes the dynamic loader's lock, and knows only what is exported:
 * nothing of a static program, little of any other. So this reads the symbol
 * table of the file itself, by pread(): to unmap it would cost a TLB flush on all
 * CPUs that run the program. Nothing that the file says is believed.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

/* Symbols that are read at a time. */
#define KF_SYMBOLS_READ 64u

/* Return: true if all of it is in the file. */
static bool kf_file_read(int fd, void *to, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* A table of symbols, and of their names. Return: false if there is none. */
static bool kf_file_table(int fd, Elf64_Word type, Elf64_Shdr *symbols, Elf64_Shdr *names)
{
	Elf64_Ehdr header;
	unsigned int i;

	if (!kf_file_read(fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_shentsize != sizeof(*symbols))
		return false;
	for (i = 0; i < header.e_shnum; i++) {
		if (!kf_file_read(fd, symbols, sizeof(*symbols),
				  header.e_shoff + i * sizeof(*symbols)))
			return false;
		if (symbols->sh_type == type)
			return kf_file_read(fd, names, sizeof(*names),
					    header.e_shoff + symbols->sh_link * sizeof(*names));
	}
	return false;
}

/* @value: an address as the file has it */
static bool kf_is_in(const Elf64_Sym *s, uintptr_t value)
{
	return value - s->st_value < s->st_size && ELF64_ST_TYPE(s->st_info) == STT_FUNC &&
	       s->st_shndx != SHN_UNDEF;
}

static bool kf_table_find(int fd, const Elf64_Shdr *table, uintptr_t value, Elf64_Sym *symbol)
{
	size_t left = table->sh_size / sizeof(*symbol);
	Elf64_Sym some[KF_SYMBOLS_READ] = { 0 };
	uint64_t offset = table->sh_offset;
	size_t i, n;

	for (; left; left -= n) {
		n = left < KF_SYMBOLS_READ ? left : KF_SYMBOLS_READ;
		if (!kf_file_read(fd, some, n * sizeof(*some), offset))
			return false;
		offset += n * sizeof(*some);
		for (i = 0; i < n; i++) {
			if (kf_is_in(&some[i], value)) {
				*symbol = some[i];
				return true;
			}
		}
	}
	return false;
}

/* A name may end where the file does: what follows it is of no interest. */
static void kf_read_name(struct kf_symbols *file, const Elf64_Shdr *names)
{
	size_t size = sizeof(file->name) - 1;

	memset(file->name, 0, sizeof(file->name));
	if (file->symbol.st_name >= names->sh_size)
		return;
	if (size > names->sh_size - file->symbol.st_name)
		size = names->sh_size - file->symbol.st_name;
	if (!kf_file_read(file->fd, file->name, size, names->sh_offset + file->symbol.st_name))
		file->name[0] = '\0';
}

/* Recursion makes it likely that it is the one from before. */
static bool kf_file_find(struct kf_symbols *file, uintptr_t value)
{
	/* All functions; then, of a file that has been stripped, the exported ones. */
	static const Elf64_Word types[] = { SHT_SYMTAB, SHT_DYNSYM };
	Elf64_Shdr symbols, names;
	unsigned int i;

	if (kf_is_in(&file->symbol, value))
		return true;
	for (i = 0; i < 2; i++) {
		if (!kf_file_table(file->fd, types[i], &symbols, &names) ||
		    !kf_table_find(file->fd, &symbols, value, &file->symbol))
			continue;
		kf_read_name(file, &names);
		return true;
	}
	return false;
}

static void kf_copy_text(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

/**
 * kf_symbols_close() - let go of the file
 * @symbols: empty afterwards
 */
void kf_symbols_close(struct kf_symbols *symbols)
{
	if (symbols->object && symbols->fd >= 0)
		close(symbols->fd);
	*symbols = (struct kf_symbols){ .object = NULL };
}

/**
 * kf_symbol_find() - name an address
 * @symbols: zero at first; to be closed
 * @address: in a function
 * @symbol: out: what is known; what is not is empty
 *
 * Context: any.
 */
void kf_symbol_find(struct kf_symbols *symbols, uintptr_t address, struct kf_symbol *symbol)
{
	const char *path, *last = program_invocation_short_name;
	const struct link_map *object;
	struct dl_find_object found;

	*symbol = (struct kf_symbol){ .object_offset = address };
	if (_dl_find_object((void *)address, &found))
		return;
	object = found.dlfo_link_map;
	path = object->l_name;
	if (path && *path)
		last = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	else
		path = "/proc/self/exe";
	kf_copy_text(symbol->object, sizeof(symbol->object), last);
	symbol->object_offset = address - object->l_addr;
	if (symbols->object != object) {
		kf_symbols_close(symbols);
		symbols->fd = open(path, O_RDONLY | O_CLOEXEC);
		symbols->object = object;
	}
	if (symbols->fd < 0 || !kf_file_find(symbols, symbol->object_offset))
		return;
	kf_copy_text(symbol->name, sizeof(symbol->name), symbols->name);
	symbol->name_offset = symbol->object_offset - symbols->symbol.st_value;
}
