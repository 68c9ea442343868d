/*
 * Domains that come and go at run time.
 *
 * State: what guests are made of, if restart=yes keeps it: their files, in the boot modules' own
 * frames, and for each module a frame of its own with its configuration, mapped nowhere; constant
 * until the end. Which domains are wanted: a bit each, set by any CPU. The one that is being made
 * belongs to the boot CPU, which makes it in steps at the turns of its loop. No lock.
 *
 * Configurations hold command lines of guests. While a guest is made they lie on the heap, in one
 * step at a time and without the command lines of those that have no part in it.
 */
#include "kernel/lifecycle.h"
#include "kernel/domain.h"
#include "kernel/domain_set.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/window.h"
#include "percpu.h"
#include "print.h"
#include "public/errno.h"
#include "public/keyhole.h"

static mfn_t *kept; /* the frames of the configurations */
static uint32_t kept_count;
static uint8_t module_of[DOMAINS_MAX + 1]; /* index + 1; 0: no guest has this id */
static struct domain_set wanted;
static struct domain *making; /* boot CPU */
_Static_assert(sizeof(struct guest_module) <= PAGE_SIZE, "a frame each");

/* --- what guests are made of ------------------------------------------------------------------ */

void lifecycle_keep(const struct guest_module *modules, uint32_t count)
{
	void *object;

	if (heap_alloc(count * sizeof(*kept), DOMID_HYPERVISOR, &object))
		panic("restart=yes: no memory");
	kept = object;
	for (kept_count = 0; kept_count < count; kept_count++) {
		const struct guest_module *m = &modules[kept_count];

		if (frame_alloc(0, DOMID_HYPERVISOR, FRAME_BOOT, &kept[kept_count]))
			panic("restart=yes: no memory");
		window_write(kept[kept_count], 0, m, sizeof(*m));
		if (m->config.valid && !m->config.is_data && m->config.id <= DOMAINS_MAX)
			module_of[m->config.id] = (uint8_t)(kept_count + 1);
	}
}

void lifecycle_forget(void)
{
	while (kept_count)
		frame_free(kept[--kept_count], 0);
	if (kept)
		heap_free(kept);
	kept = NULL;
}

static bool has_part(const struct guest_config *config, uint32_t which, uint32_t i)
{
	bool part = i == which;

	for (uint32_t m = 0; m < config->module_count; m++)
		part |= config->module_index[m] == i;
	return part;
}

/* The modules on the heap, as guest_build() wants them; NULL without memory. */
static struct guest_module *modules_take(uint32_t which)
{
	void *object;

	if (heap_alloc(kept_count * sizeof(struct guest_module), DOMID_HYPERVISOR, &object))
		return NULL;
	struct guest_module *modules = object;
	window_read(&modules[which], kept[which], 0, sizeof(*modules));
	for (uint32_t i = 0; i < kept_count; i++) {
		bool part = has_part(&modules[which].config, which, i);

		window_read(&modules[i], kept[i], 0,
			    part ? sizeof(*modules) : offsetof(struct guest_module, config));
	}
	return modules;
}

static void modules_drop(struct guest_module *modules)
{
	__builtin_memset(modules, 0, kept_count * sizeof(*modules));
	heap_free(modules);
}

/* --- making ----------------------------------------------------------------------------------- */

int lifecycle_create(domid_t id)
{
	if (!kept)
		return -XEN_EOPNOTSUPP;
	if (!module_of[id])
		return -XEN_ESRCH;
	if (!domain_set_add(&wanted, id))
		return -XEN_EBUSY;
	cpu_kick(0, ENTRY_WORK_RESCHEDULE);
	return 0;
}

static void could_not(domid_t id, const struct refusal *why)
{
	print(LOG_ERROR, "guest d%u: not made: %s", id, why->text);
	domain_set_remove(&wanted, id);
	domain_unmark(id);
}

static void begin(domid_t id)
{
	struct refusal why = {"no memory for the configurations"};
	uint32_t which = module_of[id] - 1u;
	struct guest_module *modules = modules_take(which);
	int rc = -XEN_ENOMEM;

	if (modules) {
		rc = domain_create_begin(modules, kept_count, which, &making, &why);
		modules_drop(modules);
	}
	if (rc) {
		making = NULL;
		could_not(id, &why);
	}
}

static void go_on(struct domain *d)
{
	struct refusal why = {"no memory for the configurations"};
	uint32_t which = module_of[d->id] - 1u;
	int rc = domain_create_ram(d, &why);

	if (!rc)
		return;
	making = NULL;
	if (rc > 0) {
		struct guest_module *modules = modules_take(which);

		rc = -XEN_ENOMEM;
		if (modules) {
			rc = domain_create_end(d, modules, which, &why);
			modules_drop(modules);
		}
	}
	if (rc) {
		domid_t id = d->id;
		domain_create_undo(d);
		could_not(id, &why);
		return;
	}
	print(LOG_DEBUG, "guest d%u \"%s\": made", d->id, d->name);
	domain_start(d);
	domain_set_remove(&wanted, d->id);
}

bool domain_create_step(void)
{
	if (cpu_index() || likely(domain_set_empty(&wanted, memory_order_relaxed)))
		return false;
	fail_making(true);
	if (making)
		go_on(making);
	else
		for (domid_t id = 1; id <= DOMAINS_MAX && !making; id++)
			if (domain_set_has(&wanted, id))
				begin(id);
	fail_making(false);
	return true;
}

/* --- requests --------------------------------------------------------------------------------- */

/* The domain with this id, ended or not. */
static struct domain *find_any(domid_t id)
{
	struct domain *d = domain_next((domid_t)(id - 1));

	return d && d->id == id ? d : NULL;
}

unsigned lifecycle_state(domid_t id)
{
	const struct domain *d = find_any(id);

	if (domain_set_has(&wanted, id))
		return KEYHOLE_DOMAIN_CREATING;
	if (!domain_marked(id))
		return KEYHOLE_DOMAIN_ABSENT;
	if (!d || atomic_load(&d->end) != END_NONE)
		return KEYHOLE_DOMAIN_ENDING;
	return atomic_load(&d->paused) ? KEYHOLE_DOMAIN_PAUSED : KEYHOLE_DOMAIN_RUNNING;
}

static int create(domid_t id)
{
	if (!domain_mark(id))
		return domain_find(id) ? -XEN_EEXIST : -XEN_EBUSY;
	int rc = lifecycle_create(id);
	if (rc)
		domain_unmark(id);
	return rc;
}

int lifecycle_request(domid_t id, unsigned command)
{
	struct domain *d = domain_find(id);

	if (command == KEYHOLE_CONTROL_CREATE)
		return create(id);
	if (!d || domain_set_has(&wanted, id))
		return domain_set_has(&wanted, id) ? -XEN_EBUSY : -XEN_ESRCH;
	switch (command) {
	case KEYHOLE_CONTROL_PAUSE:
		domain_pause(d);
		return 0;
	case KEYHOLE_CONTROL_RESUME:
		domain_resume(d);
		return 0;
	case KEYHOLE_CONTROL_RESTART:
		if (!kept)
			return -XEN_EOPNOTSUPP;
		atomic_store(&d->restarts, true);
		break;
	case KEYHOLE_CONTROL_DESTROY:
		break;
	default:
		return -XEN_ENOSYS;
	}
	domain_end(d, END_DESTROYED, 0);
	return 0;
}
