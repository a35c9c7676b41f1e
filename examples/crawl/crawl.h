/* SPDX-License-Identifier: GPL-2.0 */
/*
 * crawl: the SHA-256 sums of all files below a directory, as sha256sum prints them.
 *
 *	main.c		options, start and end
 *	../common	what it shares with other examples: signals, options
 *	pool.c		a bounded number of fibers, and the work that they share
 *	walk.c		one piece of work: a directory, or a file
 *	tree.c		directories: how a file in one is opened, and what it is called
 *	hash.c		a file's sum
 *	output.c	lines, for files and for what went wrong
 *	progress.c	how far it is
 *
 * Directories and files are read by the ordinary calls, which block: meanwhile others
 * have the processor. ^C cancels the context of all fibers.
 */
#ifndef CRAWL_H
#define CRAWL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define SUM_TEXT_SIZE	65

/**
 * struct options - what the command line said; constant once main() has parsed it
 * @fibers: how many work at once
 * @zero: lines end in NUL, and names are as they are
 * @progress: show it, on stderr
 */
struct options {
	unsigned int fibers;
	bool zero;
	bool progress;
};

extern struct options options;

/**
 * struct counters - how far it is
 * @found: files
 * @done: of those
 * @bytes: that were read
 * @errors: things that could not be read
 */
struct counters {
	atomic_ullong found;
	atomic_ullong done;
	atomic_ullong bytes;
	atomic_ullong errors;
};

extern struct counters counters;

static inline void count(atomic_ullong *counter, unsigned long long n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/**
 * struct dir - a directory that has been read, or is being
 * @parent: NULL: the one that the command line names
 * @fd: open as long as something in it is to be opened
 * @refs: those that have it for a parent, and who reads it
 * @unopened: of them, those that need @fd
 * @name: in @parent
 */
struct dir {
	struct dir *parent;
	int fd;
	atomic_uint refs;
	atomic_uint unopened;
	char name[];
};

/**
 * struct work - something to do
 * @link: in a list of work
 * @dir: where it is; NULL: it is what the command line names
 * @is_dir: a directory; else a file
 * @name: in @dir
 */
struct work {
	SLIST_ENTRY(work) link;
	struct dir *dir;
	bool is_dir;
	char name[];
};

SLIST_HEAD(work_list, work);

/* pool.c */
int pool_run(struct work *first);
int pool_add(struct work_list *list);

/* walk.c */
struct work *work_make(struct dir *dir, const char *name, bool is_dir);
void work_do(struct work *work);
void work_drop(struct work *work);

/* tree.c */
struct dir *dir_make(const struct work *work, int fd);
void dir_hold(struct dir *dir);
void dir_opened(struct dir *dir);
void dir_release(struct dir *dir);
char *path_of(const struct work *work);

/* hash.c */
int hash_file(int fd, char sum[SUM_TEXT_SIZE]);

/* output.c */
void print_sum(const struct work *work, const char *sum);
void print_error(const struct work *work, int err);
int output_end(void);

/* progress.c */
int progress_start(void);
void progress_stop(void);

#endif /* CRAWL_H */
