/*
 * Failing allocations (test builds, selftest=fail): each operation below is made again and again,
 * the first time with its first allocation failing, then with its second, and so on, until one went
 * through with no failure left to come. Whatever failed, the operation must succeed all the same or
 * say -XEN_ENOMEM, and when it is undone as much memory is in use as before.
 *
 * State: the configuration of the guest that is built. Boot CPU, VT-x on, before any guest. The
 * hypercalls are gone through in the same way by a guest: guest-tests/alloc-fail.
 */
#ifdef CONFIG_TEST
#include "boot_info.h"
#include "kernel/domain.h"
#include "kernel/guest_cpuid.h"
#include "mm/audit.h"
#include "mm/epoch.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/pool.h"
#include "mm/vmap.h"
#include "print.h"
#include "public/errno.h"
#include "selftest/accounting.h"
#include "selftest/selftest.h"

#define FAILURES_MAX 4000u /* no operation below makes so many allocations */
#define AUDIT_EVERY  32u

#define HEAP_OBJECTS 70u /* of 64 bytes: more than a page of them */
#define HEAP_OWNER   ((domid_t)77)

static struct guest_module module;

static int try_frame(void)
{
	mfn_t frame;
	int rc = frame_alloc(FRAME_ORDER_2M, DOMID_HYPERVISOR, FRAME_BOOT, &frame);

	if (!rc)
		frame_free(frame, FRAME_ORDER_2M);
	return rc;
}

static int try_table(void)
{
	struct table_account account = {.quota = 1};
	mfn_t table;
	int rc = pool_table_alloc(&account, &table);

	if (!rc)
		pool_table_free(&account, table);
	return rc || !atomic_load(&account.used) ? rc : -XEN_EINVAL;
}

static int try_vmap(void)
{
	void *area;
	int rc = vmap_alloc(8, &area);

	if (!rc)
		vmap_free(area);
	return rc;
}

static int try_heap(void)
{
	void *objects[HEAP_OBJECTS];
	uint32_t count = 0;
	int rc = 0;

	while (!rc && count < HEAP_OBJECTS)
		if (!(rc = heap_alloc(64, HEAP_OWNER, &objects[count])))
			count++;
	while (count)
		heap_free(objects[--count]);
	return rc;
}

static int try_heap_large(void)
{
	void *object;
	int rc = heap_alloc(3 * PAGE_SIZE, HEAP_OWNER, &object);

	if (!rc)
		heap_free(object);
	return rc;
}

static int try_domain(void)
{
	struct refusal why;
	struct domain *d;
	int rc = domain_create(&module, 1, 0, &d, &why);

	if (rc)
		return rc;
	domain_end(d, END_DESTROYED, 0);
	while (!domain_destroy(d))
		epoch_quiescent();
	return 0;
}

static bool audit_good(void)
{
	struct audit_result result;

	audit_run(&result, false);
	return !result.errors;
}

static void fail_walk(const char *what, int (*operation)(void))
{
	struct accounting before;
	uint32_t n = 0, refused = 0;
	bool fired, good = true;

	/* What stays for later use is taken by a first time without failures. */
	good &= !operation();
	accounting_take(&before);
	do {
		fail_arm(++n);
		int rc = operation();
		fired = fail_disarm();
		refused += rc == -XEN_ENOMEM;
		if (rc && (rc != -XEN_ENOMEM || !fired)) {
			print(LOG_ERROR, "%s: allocation %u fails: error %d", what, n, -rc);
			good = false;
		}
		good &= accounting_equal(&before, true);
		if (n % AUDIT_EVERY == 1 || !fired)
			good &= audit_good();
	} while (good && fired && n < FAILURES_MAX);
	if (!good)
		print(LOG_ERROR, "%s: it was allocation %u that failed", what, n);
	print(LOG_RESULT, "# %s: each of %u allocations has failed; %u times it was refused", what,
	      n - 1, refused);
	selftest_ok(good && !fired && refused, what);
}

/* The guest of the first boot module. */
static bool read_module(void)
{
	struct refusal why;
	const struct boot_module *m = &boot_info.modules[0];

	if (!boot_info.module_count)
		return false;
	module.start = m->start;
	module.size = paddr_raw(m->end) - paddr_raw(m->start);
	if (guest_config_parse(m->cmdline, &module.config, &why))
		return false;
	guest_config_number(&module.config, 1);
	return !guest_config_resolve(&module.config, 1, 0, &why);
}

/* Prints TAP; returns how many failed. */
uint32_t selftest_fail_run(void)
{
	guest_cpuid_init();
	fail_walk("fail: a block of 2 MiB", try_frame);
	fail_walk("fail: a table", try_table);
	fail_walk("fail: an area of vmap", try_vmap);
	fail_walk("fail: heap objects of a new owner", try_heap);
	fail_walk("fail: a heap object of three pages", try_heap_large);
	selftest_ok(read_module(), "fail: there is a guest to build");
	if (module.config.valid)
		fail_walk("fail: making a domain", try_domain);
	return selftest_finish();
}
#endif
