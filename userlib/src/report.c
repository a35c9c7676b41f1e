// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is said of a fault, on stderr, by a signal handler. What is certain goes
 * out before the stack is walked, which may fault.
 */
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "text.h"

/* Of a long backtrace: so many of the innermost functions, and of the outermost. */
#define KF_INNERMOST 24u
#define KF_OUTERMOST 8u

/* --- who -------------------------------------------------------------------- */

static void kf_text_spawned(struct kf_text *t, const struct kfiber_fiber_block *f)
{
	/* The first one has no spawner. */
	if (!f->spawn_site)
		return;
	kf_text_add(t, "kfiber:   spawned at ");
	kf_text_place(t, f->spawn_site);
	kf_text_byte(t, '\n');
}

/* --- why -------------------------------------------------------------------- */

/**
 * struct kf_why - a KFIBER_REFUSED_* in words
 * @title: what it is
 * @why: what that means
 */
struct kf_why {
	const char *title;
	const char *why;
};

static const struct kf_why kf_whys[] = {
	[KFIBER_REFUSED_NONE] = { "fault in a stack", "not a page that could have been had" },
	[KFIBER_REFUSED_GUARD] = { "stack overflow", "in the guard: the stack is full" },
	[KFIBER_REFUSED_LIMIT] = { "stack overflow", "beyond the fiber's own stack limit" },
	[KFIBER_REFUSED_OWNER] = { "stray access to a stack",
		"below all that its owner uses: a large frame may have jumped over a guard" },
	[KFIBER_REFUSED_DOMAIN] = { "no memory for a stack",
		"the domain's limit for all stacks is reached" },
	[KFIBER_REFUSED_USER] = { "no memory for a stack",
		"the limit for all stacks of this user is reached" },
	[KFIBER_REFUSED_MEMORY] = { "no memory for a stack", "the machine has none" },
	[KFIBER_REFUSED_FREE] = { "stray access to a stack", "no fiber has this stack" },
};

#define KF_NR_WHYS (sizeof(kf_whys) / sizeof(kf_whys[0]))

/* What the module keeps is the last refusal in the slot: is it this one? */
static const struct kf_why *kf_why(const struct kfiber_stack *stack)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (stack->reason >= KF_NR_WHYS || stack->refused_offset / page != stack->offset / page)
		return &kf_whys[KFIBER_REFUSED_NONE];
	return &kf_whys[stack->reason];
}

static void kf_text_stack(struct kf_text *t, const struct kfiber_fiber_block *f,
			  const struct kfiber_stack *stack)
{
	kf_text_add(t, "kfiber:   stack: ");
	kf_text_kib(t, stack->pages);
	kf_text_add(t, " of ");
	kf_text_kib(t, stack->limit);
	kf_text_add(t, ", at most ");
	kf_text_kib(t, f->stack_high);
	kf_text_add(t, " so far; guard ");
	kf_text_kib(t, stack->guard);
	kf_text_byte(t, '\n');
}

/* --- how often -------------------------------------------------------------- */

/*
 * A server whose clients can make its fibers fault must not drown in it: as the
 * kernel's printk_ratelimited() has it, 10 in 5 seconds.
 */
#define KF_REPORT_BURST 10u
#define KF_REPORT_NS 5000000000ull

/* @reports: the word of a time that is over. Return: how many it had that nobody was told of. */
static uint32_t kf_report_left_out(uint64_t reports)
{
	return (uint32_t)reports > KF_REPORT_BURST ? (uint32_t)reports - KF_REPORT_BURST : 0;
}

static void kf_report_missed(uint32_t count)
{
	struct kf_text t = { .fd = STDERR_FILENO };

	if (!count)
		return;
	kf_text_add(&t, "kfiber: ");
	kf_text_number(&t, count, 10);
	kf_text_add(&t, " contained faults were not reported\n");
	kf_text_end(&t);
}

/**
 * kf_report_is_due() - may a contained fault be reported?
 * @d: the domain
 * @missed: out, if so: how many before it were not, to be told with it
 *
 * Which 5 seconds it is, and how many faults they have had, is one word.
 *
 * Return: false if there have been enough.
 */
bool kf_report_is_due(struct kf_domain *d, uint32_t *missed)
{
	uint32_t now = (uint32_t)(kf_real_now() / KF_REPORT_NS);
	uint_least64_t old = atomic_load_explicit(&d->reports, memory_order_relaxed);
	uint64_t new;

	do {
		new = old >> 32 == now ? old + 1 : (uint64_t)now << 32 | 1;
	} while (!atomic_compare_exchange_weak(&d->reports, &old, new));
	if (old >> 32 == now)
		return (uint32_t)old < KF_REPORT_BURST;
	*missed = kf_report_left_out(old);
	return true;
}

/* Context: no fiber is left. */
void kf_report_end(struct kf_domain *d)
{
	kf_report_missed(kf_report_left_out(atomic_load(&d->reports)));
}

/* --- a report --------------------------------------------------------------- */

static const char *kf_signal_name(int signal)
{
	switch (signal) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGFPE:
		return "SIGFPE";
	}
	return "SIGILL";
}

static void kf_text_title(struct kf_text *t, const struct kf_fault *fault, const char *title)
{
	kf_text_add(t, "kfiber: ");
	kf_text_add(t, title);
	kf_text_add(t, ": ");
	kf_text_add(t, kf_signal_name(fault->signal));
	kf_text_add(t, " at ");
	kf_text_hex(t, (uintptr_t)fault->info->si_addr);
	kf_text_add(t, " in ");
	if (fault->fiber)
		kf_text_fiber(t, fault->domain, fault->fiber);
	else
		kf_text_add(t, fault->worker ? "a worker" : "a plain thread");
	kf_text_byte(t, '\n');
	if (fault->fiber)
		kf_text_spawned(t, fault->fiber);
}

/* The stack may be another fiber's, or nobody's. */
static void kf_text_owner(struct kf_text *t, const struct kf_fault *fault,
			  struct kfiber_fiber_block *f, const struct kfiber_stack *stack)
{
	if (f != fault->fiber) {
		kf_text_add(t, "kfiber:   it is the stack of ");
		kf_text_fiber(t, fault->domain, f);
		kf_text_byte(t, '\n');
		kf_text_spawned(t, f);
	}
	kf_text_stack(t, f, stack);
}

static void kf_report_stack(struct kf_text *t, const struct kf_fault *fault)
{
	struct kfiber_fiber_block *f = NULL;
	struct kfiber_stack stack;
	const struct kf_why *why;
	int err;

	err = kf_call_stack(fault->domain, fault->stack_shift, fault->offset, &stack);
	why = err ? &kf_whys[KFIBER_REFUSED_FREE] : kf_why(&stack);
	kf_text_title(t, fault, why->title);
	kf_text_add(t, "kfiber:   why: ");
	kf_text_add(t, why->why);
	kf_text_byte(t, '\n');
	if (!err)
		f = kf_block(fault->domain, stack.fiber);
	if (f)
		kf_text_owner(t, fault, f, &stack);
}

/**
 * kf_report_fault() - say what happened
 * @fault: in a stack, or of a fiber
 *
 * Context: the caller has the turn, so that all it says stays together.
 */
void kf_report_fault(const struct kf_fault *fault)
{
	struct kf_text t = { .fd = STDERR_FILENO };

	kf_report_missed(fault->missed);
	if (fault->on_stack)
		kf_report_stack(&t, fault);
	else
		kf_text_title(&t, fault, "fault");
	kf_text_end(&t);
}

/**
 * struct kf_backtrace - a backtrace on its way
 * @text: what is written
 * @count: functions seen
 * @last: the latest beyond KF_INNERMOST, by number
 */
struct kf_backtrace {
	struct kf_text text;
	unsigned int count;
	struct kf_frame last[KF_OUTERMOST];
};

/* A return address may be the first one of the next function. */
static void kf_text_frame(struct kf_text *t, unsigned int number, const struct kf_frame *frame)
{
	kf_text_add(t, "kfiber:   #");
	kf_text_number(t, number, 10);
	kf_text_byte(t, ' ');
	kf_text_place(t, frame->ip - !frame->interrupted);
	kf_text_byte(t, '\n');
}

static void kf_backtrace_visit(const struct kf_frame *frame, void *arg)
{
	struct kf_backtrace *b = arg;

	if (b->count < KF_INNERMOST)
		kf_text_frame(&b->text, b->count, frame);
	else
		b->last[b->count % KF_OUTERMOST] = *frame;
	b->count++;
}

/**
 * kf_report_backtrace() - say where it happened
 * @fault: the fault
 *
 * Of a deep recursion, the two ends.
 */
void kf_report_backtrace(const struct kf_fault *fault)
{
	struct kf_backtrace b = { .text.fd = STDERR_FILENO };
	unsigned int i = KF_INNERMOST;

	kf_walk(fault, kf_backtrace_visit, &b);
	if (b.count > KF_INNERMOST + KF_OUTERMOST) {
		i = b.count - KF_OUTERMOST;
		kf_text_add(&b.text, "kfiber:   ... ");
		kf_text_number(&b.text, i - KF_INNERMOST, 10);
		kf_text_add(&b.text, " more\n");
	}
	for (; i < b.count; i++)
		kf_text_frame(&b.text, i, &b.last[i % KF_OUTERMOST]);
	kf_text_end(&b.text);
}

/**
 * kf_report_outcome() - say what comes of it, if anybody wanted it contained
 * @fault: the fault
 * @asked: it was to be contained
 * @refusal: why it cannot be, or NULL
 */
void kf_report_outcome(const struct kf_fault *fault, bool asked, const char *refusal)
{
	struct kf_text t = { .fd = STDERR_FILENO };

	if (!asked)
		return;
	if (refusal) {
		kf_text_add(&t, "kfiber:   it cannot be contained: ");
		kf_text_add(&t, refusal);
	} else {
		kf_text_add(&t, "kfiber:   contained: ");
		kf_text_fiber(&t, fault->domain, fault->fiber);
		kf_text_add(&t, " ends");
	}
	kf_text_byte(&t, '\n');
	kf_text_end(&t);
}
