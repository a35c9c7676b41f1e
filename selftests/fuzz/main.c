// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes /dev/kfiber: makes programs of calls, runs them, and keeps those that
 * reach something new in the module. README.rst says how to use it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cover.h"
#include "fuzz.h"
#include "health.h"
#include "inject.h"
#include "run.h"
#include "track.h"

/*
 * What the corpus must reach of the module's functions, lest it goes stale. Of those
 * 145 some 40 run where KCOV does not see them: in timers, work items, sched_out.
 */
#define REACHED_PERCENT 65

struct options {
	unsigned long programs;
	unsigned long seconds;
	uint64_t seed;
	const char *corpus;
	const char *write;
	const char *last;
	const char *unreached;
	const char *replay;
	unsigned long repeat;
	bool list;
	bool tap;
	bool blind;
};

static const char usage[] =
"Usage: fuzz [OPTION]...\n"
"\n"
"Runs random programs on /dev/kfiber: not on a machine that you need.\n"
"\n"
"  -n, --programs N    how many programs to make\n"
"  -s, --seconds S     for how long at most (default, without -n: 60)\n"
"      --seed N        what they are made from (default: 1)\n"
"      --corpus DIR    programs to begin with\n"
"      --write DIR     write those worth keeping here\n"
"      --last FILE     write each program here before it runs; gone at the end\n"
"      --unreached FILE  write the module's functions that were not reached here\n"
"      --replay FILE   run this program only\n"
"      --repeat N      so many times\n"
"      --blind         do not look at coverage\n"
"      --list          print the programs instead (blind)\n"
"      --tap           report as a test\n"
"  -h, --help          this text\n";

static unsigned long number(const char *option, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	if (end != text && !*end)
		return n;
	fprintf(stderr, "fuzz: %s wants a number, not '%s'\n", option, text);
	exit(2);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	enum { SEED = 256, CORPUS, WRITE, LAST, UNREACHED, REPLAY, REPEAT, BLIND, LIST, TAP, EXEC };
	static const struct option known[] = {
		{ "programs", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, SEED },
		{ "corpus", required_argument, NULL, CORPUS },
		{ "write", required_argument, NULL, WRITE },
		{ "last", required_argument, NULL, LAST },
		{ "unreached", required_argument, NULL, UNREACHED },
		{ "replay", required_argument, NULL, REPLAY },
		{ "repeat", required_argument, NULL, REPEAT },
		{ "blind", no_argument, NULL, BLIND },
		{ "list", no_argument, NULL, LIST },
		{ "tap", no_argument, NULL, TAP },
		{ "after-exec", no_argument, NULL, EXEC },
		{ "help", no_argument, NULL, 'h' },
		{ NULL }
	};
	int option;

	while ((option = getopt_long(argc, argv, "n:s:h", known, NULL)) >= 0) {
		switch (option) {
		case 'n':
			o->programs = number("--programs", optarg);
			break;
		case 's':
			o->seconds = number("--seconds", optarg);
			break;
		case SEED:
			o->seed = number("--seed", optarg);
			break;
		case CORPUS:
			o->corpus = optarg;
			break;
		case WRITE:
			o->write = optarg;
			break;
		case LAST:
			o->last = optarg;
			break;
		case UNREACHED:
			o->unreached = optarg;
			break;
		case REPLAY:
			o->replay = optarg;
			break;
		case REPEAT:
			o->repeat = number("--repeat", optarg);
			break;
		case BLIND:
			o->blind = true;
			break;
		case LIST:
			o->list = true;
			break;
		case TAP:
			o->tap = true;
			break;
		case EXEC:			/* a program's exec comes here */
			track_after_exec();
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!o->programs && !o->seconds)
		o->seconds = 60;
}

static bool replay_one(const struct program *p, void *data)
{
	return fuzz_replay(data, p);
}

static bool list_one(const struct program *p, void *data)
{
	struct fuzz *f = data;

	return corpus_add(&f->corpus, p, true);
}

static bool print_programs(struct fuzz *f, const struct options *o)
{
	unsigned long n;

	if (o->corpus && corpus_read(o->corpus, list_one, f) < 0)
		return false;
	for (n = 0; n < o->programs; n++) {
		char text[PROGRAM_TEXT_MAX];
		struct program p;

		fuzz_next(f, &p);
		program_print(&p, text, sizeof(text));
		printf("# seed %" PRIu64 ", program %lu\n%s\n", f->seed, f->number, text);
	}
	return true;
}

static bool replay_file(struct fuzz *f, const struct options *o)
{
	struct program p;
	int wrong = program_read(&p, o->replay);
	unsigned long i;

	if (wrong) {
		fprintf(stderr, "fuzz: %s: %s", o->replay, wrong < 0 ? "" : "wrong line ");
		if (wrong < 0)
			perror("");
		else
			fprintf(stderr, "%d\n", wrong);
		return false;
	}
	for (i = 0; i < o->repeat; i++)
		if (!fuzz_replay(f, &p))
			return false;
	printf("# %lu runs, %lu calls, %lu faults, %lu killed\n", f->runs, run_counts.calls,
	       run_counts.faults, run_counts.killed);
	return fuzz_look_after(f);
}

/* What was reached. Return: how much of the module's functions, in percent. */
static unsigned int report_coverage(struct fuzz *f, const struct options *o)
{
	unsigned int reached, count;
	FILE *file = o->unreached ? fopen(o->unreached, "we") : NULL;

	if (!f->corpus.blocks.words)
		return 100;
	count = cover_functions(&f->corpus.blocks, file, &reached);
	printf("# %u of the module's %u functions, %zu blocks\n", reached, count,
	       bits_count(&f->corpus.blocks));
	if (file)
		fclose(file);
	return count ? reached * 100 / count : 0;
}

/* --- as a test -------------------------------------------------------------------- */

static unsigned int tests;
static bool all_right = true;

static void result(const struct options *o, bool right, const char *text, const char *skip)
{
	all_right &= right;
	if (!o->tap)
		return;
	printf("%sok %u %s%s%s\n", right ? "" : "not ", ++tests, text, skip ? " # SKIP " : "",
	       skip ? skip : "");
	fflush(stdout);
}

static bool fuzz_all(struct fuzz *f, const struct options *o, const char *no_coverage)
{
	char text[80];
	int n = 0;

	if (o->tap)
		printf("TAP version 13\n1..4\n");
	if (no_coverage)
		printf("# blind: %s\n", no_coverage);
	if (o->corpus)
		n = corpus_read(o->corpus, replay_one, f);
	snprintf(text, sizeof(text), "%d programs of the corpus", n);
	result(o, n >= 0, text, NULL);
	snprintf(text, sizeof(text), "the corpus reaches %d %% of the module's functions",
		 REACHED_PERCENT);
	result(o, no_coverage || !o->tap || report_coverage(f, o) >= REACHED_PERCENT, text,
	       no_coverage);

	/* What runs after a failure says nothing. */
	result(o, n >= 0 && fuzz_programs(f, o->programs), "random programs", NULL);
	result(o, fuzz_look_after(f), "the module is in order", NULL);
	report_coverage(f, o);
	return all_right;
}

int main(int argc, char **argv)
{
	struct options o = { .seed = 1, .repeat = 1 };
	const char *no_coverage;
	struct fuzz f;
	bool right;

	parse_options(&o, argc, argv);
	no_coverage = o.blind || o.list ? "as told" : cover_init();
	/* A test is to take the same time each time. */
	f = (struct fuzz){
		.seed = o.seed, .last = o.last, .last_fd = -1, .keeps = !o.tap, .quiet_s = 5,
	};
	corpus_init(&f.corpus);
	if (o.list)
		return print_programs(&f, &o) ? 0 : 1;
	if (!run_init()) {
		perror("fuzz");
		return 2;
	}
	inject_init();
	health_init();
	if (o.seconds)
		f.end_ms = now_ms() + o.seconds * 1000;
	right = o.replay ? replay_file(&f, &o) : fuzz_all(&f, &o, no_coverage);
	if (right && o.write && f.corpus.points.words)
		printf("# %d programs in %s\n", corpus_write(&f.corpus, o.write), o.write);
	if (right && o.last)
		unlink(o.last);
	return right ? 0 : 1;
}
