/*
 * vmx/ept*.c: the p2m against a plain array, at random and at its edges.
 *
 * Three windows of guest-physical space have a model: the beginning, around 512 GiB (two tables of
 * level 3), and the very end. The tables are also read directly, by code that shares nothing with
 * the module, for the format of their entries and the invariants between them.
 */
/* sources: vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c vmx/ept_batch.c vmx/ept_visit.c tests/unit/fake_pool.c */
/* sources: tests/unit/fake_cpu.c */
#include "fake_pool.h"
#include "public/errno.h"
#include "random.h"
#include "tap.h"
#include "vmx/ept.h"
#include "vmx/ept_batch.h"

#define WINDOW_FRAMES (1u << 19)
#define WINDOWS	      3u

static const uint64_t window_start[WINDOWS] = {0, (1ull << 27) - (1u << 18),
					       (1ull << 36) - WINDOW_FRAMES};

struct model_frame {
	uint64_t mfn;
	uint8_t type; /* P2M_NONE: not mapped */
	uint8_t access;
};

static struct model_frame *model[WINDOWS];
static uint64_t model_mapped;
static struct p2m p2m;
static bool has_leaf[4]; /* of a level */

static uint64_t random_below(uint64_t n)
{
	return random64() % n;
}

static struct model_frame *model_at(uint64_t gfn)
{
	for (unsigned w = 0; w < WINDOWS; w++)
		if (gfn >= window_start[w] && gfn - window_start[w] < WINDOW_FRAMES)
			return &model[w][gfn - window_start[w]];
	return NULL;
}

/* --- the tables, read directly -----------------------------------------------------------------
 */

static struct {
	uint64_t tables, leaves, errors;
	mfn_t looked_for; /* counted in found if a present entry leads to it */
	unsigned found;
} tree;

#define EXPECT(cond)                                                                          \
	do {                                                                                  \
		if (!(cond)) {                                                                \
			if (!tree.errors++)                                                   \
				diag("level %u entry %#" PRIx64 ": %s", level, entry, #cond); \
		}                                                                             \
	} while (0)

/* Whether one larger leaf could say what a full table of a level says. */
static bool joinable(const uint64_t *e, unsigned level)
{
	uint64_t flags = 1ull << 8 | 1ull << 9, type = (e[0] >> 52) & 7;
	uint64_t frames = 1ull << 9 * (level - 1);

	if (level > 2 || !has_leaf[level + 1] || (level == 2 && !(e[0] & 0x80)) ||
	    (type != P2M_RAM && type != P2M_FOREIGN) || (e[0] >> 12) % (512 * frames))
		return false;
	for (uint64_t i = 0; i < 512; i++)
		if ((e[i] & ~flags) != (e[0] & ~flags) + (i * frames << 12))
			return false;
	return true;
}

static unsigned tree_walk(mfn_t table, unsigned level)
{
	unsigned used = 0;
	uint64_t entry = 0;

	tree.tables++;
	EXPECT(!joinable(pool_table(table), level));
	tree.found += mfn_equal(table, tree.looked_for);
	for (unsigned i = 0; i < 512; i++) {
		entry = pool_table(table)[i];
		uint64_t frame = (entry & 0xffffffffff000) >> 12;

		if (!entry)
			continue;
		used++;
		EXPECT(entry & 1);
		EXPECT(!(entry >> 62));
		if (level == 1 || entry & 0x80) {
			tree.leaves++;
			EXPECT(level < 4);
			EXPECT(((entry >> 3) & 7) == 6);
			EXPECT(!(entry & 0x40) && !((entry >> 55) & 0x7f) && !(entry & 0xc00));
			EXPECT(!(frame & ((1u << 9 * (level - 1)) - 1)));
			EXPECT(level > 1 || !(entry & 0x80));
			continue;
		}
		EXPECT((entry & 0xeff) == 7);
		unsigned below = tree_walk(make_mfn(frame), level - 1);
		EXPECT(below > 0);
		EXPECT(below == ((entry >> 52) & 0x3ff));
	}
	return used;
}

static bool tree_good(void)
{
	memset(&tree, 0, sizeof(tree));
	tree_walk(p2m.root, 4);
	if (tree.tables != p2m.tables.used) {
		diag("%" PRIu64 " tables linked, %u charged", tree.tables, p2m.tables.used);
		return false;
	}
	return !tree.errors;
}

/* --- comparison with the model -----------------------------------------------------------------
 */

struct sweep {
	uint64_t frames, last_end;
	bool good, every_frame;
};

static bool frame_matches(uint64_t gfn, uint64_t mfn, const struct p2m_entry *e)
{
	const struct model_frame *m = model_at(gfn);

	return m && m->type == e->type && m->access == e->access && m->mfn == mfn;
}

static bool sweep_leaf(gfn_t gfn, const struct p2m_entry *e, void *ctx)
{
	struct sweep *s = ctx;
	uint64_t count = 1ull << e->order, g = gfn_raw(gfn);

	s->good &= g >= s->last_end;
	s->last_end = g + count;
	s->frames += count;
	for (uint64_t i = 0; i < count; i += s->every_frame || count == 1 ? 1 : count - 1)
		s->good &= frame_matches(g + i, mfn_raw(e->frame) + i, e);
	return s->good;
}

static bool same_as_model(bool every_frame)
{
	struct sweep s = {.good = true, .every_frame = every_frame};

	p2m_for_each(&p2m, sweep_leaf, &s);
	if (!s.good || s.frames != model_mapped)
		return false;
	for (unsigned i = 0; i < 200; i++) {
		unsigned w = (unsigned)random_below(WINDOWS);
		uint64_t gfn = window_start[w] + random_below(WINDOW_FRAMES);
		const struct model_frame *m = model_at(gfn);
		struct p2m_entry e;
		bool found = p2m_lookup(&p2m, make_gfn(gfn), &e);

		if (found != (m->type != P2M_NONE) ||
		    (found && !frame_matches(gfn, mfn_raw(e.frame), &e)))
			return false;
	}
	return true;
}

static bool fingerprint_leaf(gfn_t gfn, const struct p2m_entry *e, void *ctx)
{
	uint64_t *h = ctx,
		 words[] = {gfn_raw(gfn), mfn_raw(e->frame), e->type, e->access, e->order};

	for (unsigned i = 0; i < array_size(words); i++)
		*h = (*h ^ words[i]) * 0x100000001b3ull;
	return true;
}

/* Everything that a failing operation must leave alone. */
static uint64_t fingerprint(void)
{
	uint64_t h = p2m.generation * 31 + p2m.tables.used;

	p2m_for_each(&p2m, fingerprint_leaf, &h);
	return h;
}

/* --- operations on both ------------------------------------------------------------------------
 */

static int model_map_result(uint64_t gfn, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (model_at(gfn + i)->type != P2M_NONE)
			return -XEN_EEXIST;
	return 0;
}

static void model_map(uint64_t gfn, uint64_t mfn, uint64_t count, unsigned type, unsigned access)
{
	for (uint64_t i = 0; i < count; i++)
		*model_at(gfn + i) = (struct model_frame){mfn + i, (uint8_t)type, (uint8_t)access};
	model_mapped += count;
}

static uint64_t model_count(uint64_t gfn, uint64_t count)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < count; i++)
		n += model_at(gfn + i)->type != P2M_NONE;
	return n;
}

struct removal {
	uint64_t gfn, end, frames, runs, generation;
	bool good;
	struct {
		uint64_t gfn_end, mfn_end;
		struct p2m_entry entry;
	} last;
};

static struct removal *removal_now;

static void removed(gfn_t gfn, const struct p2m_entry *e, uint64_t count, void *ctx)
{
	struct removal *r = ctx;
	uint64_t g = gfn_raw(gfn);

	r->good &= count > 0 && g >= r->gfn && g + count <= r->end && g >= r->last.gfn_end;
	r->good &= p2m.generation == r->generation + 1;
	r->good &= lock_held(&p2m.lock);
	for (uint64_t i = 0; i < count; i++)
		r->good &= frame_matches(g + i, mfn_raw(e->frame) + i, e);
	/* Two runs that could be one would be one. */
	if (r->runs)
		r->good &= g != r->last.gfn_end || mfn_raw(e->frame) != r->last.mfn_end ||
			   e->type != r->last.entry.type || e->access != r->last.entry.access ||
			   e->order != r->last.entry.order;
	r->last.gfn_end = g + count;
	r->last.mfn_end = mfn_raw(e->frame) + count;
	r->last.entry = *e;
	r->frames += count;
	r->runs++;
}

static struct {
	uint64_t tables, generation;
	bool good;
} joins; /* tables freed while none is removed */

/* A table goes to the epoch: nothing leads to it any more, and the generation has moved. */
static void table_freed(mfn_t table)
{
	bool *good = removal_now ? &removal_now->good : &joins.good;

	if (!p2m.max_gfn) /* destroyed */
		return;
	if (removal_now) {
		*good &= p2m.generation == removal_now->generation + 1;
	} else {
		joins.tables++;
		*good &= p2m.generation == ++joins.generation;
	}
	memset(&tree, 0, sizeof(tree));
	tree.errors = 1; /* tombstones are there: no complaints */
	tree.looked_for = table;
	/* Only present entries are followed by hardware. */
	for (uint64_t i4 = 0; i4 < 512; i4++) {
		uint64_t e4 = pool_table(p2m.root)[i4];
		if (!(e4 & 7))
			continue;
		mfn_t t3 = make_mfn((e4 & 0xffffffffff000) >> 12);
		tree.found += mfn_equal(t3, table);
		for (uint64_t i3 = 0; i3 < 512; i3++) {
			uint64_t e3 = pool_table(t3)[i3];
			if (!(e3 & 7) || e3 & 0x80)
				continue;
			mfn_t t2 = make_mfn((e3 & 0xffffffffff000) >> 12);
			tree.found += mfn_equal(t2, table);
			for (uint64_t i2 = 0; i2 < 512; i2++) {
				uint64_t e2 = pool_table(t2)[i2];
				if (e2 & 7 && !(e2 & 0x80))
					tree.found +=
					    (e2 & 0xffffffffff000) >> 12 == mfn_raw(table);
			}
		}
	}
	*good &= tree.found == 0;
}

static bool try_unmap(uint64_t gfn, uint64_t count, int *rc)
{
	struct removal r = {
	    .gfn = gfn, .end = gfn + count, .generation = p2m.generation, .good = true};

	removal_now = &r;
	*rc = p2m_unmap(&p2m, make_gfn(gfn), count, removed, &r);
	removal_now = NULL;
	if (*rc)
		return r.runs == 0;
	uint64_t expected = model_count(gfn, count);
	bool good =
	    r.good && r.frames == expected && p2m.generation == r.generation + (expected ? 1 : 0);
	for (uint64_t i = 0; i < count; i++)
		model_at(gfn + i)->type = P2M_NONE;
	model_mapped -= expected;
	return good;
}

static void start(bool has_1g, bool has_2m, uint32_t quota)
{
	ept_configure(has_1g, has_2m, true);
	has_leaf[2] = has_2m;
	has_leaf[3] = has_1g;
	for (unsigned w = 0; w < WINDOWS; w++)
		memset(model[w], 0, WINDOW_FRAMES * sizeof(struct model_frame));
	model_mapped = 0;
	if (p2m_init(&p2m, quota, P2M_GFN_LIMIT))
		bail_out("p2m_init");
}

static void finish(const char *what)
{
	p2m_destroy(&p2m);
	struct p2m_entry e;
	ok(p2m.tables.used == 0 && !p2m_lookup(&p2m, make_gfn(0), &e),
	   "%s: destruction takes everything out", what);
	fake_epoch_pass();
	is(fake_pool_in_use(), 0, "%s: every table is given back", what);
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void random_range(uint64_t *gfn, uint64_t *mfn, uint64_t *count)
{
	static const uint64_t sizes[] = {1,    2,    8,	       64,	 512,	513,
					 1024, 5000, 1u << 17, 1u << 18, 300000};
	unsigned w = (unsigned)random_below(WINDOWS);
	uint64_t size = sizes[random_below(array_size(sizes))], start_frame;

	*count = random_below(2) ? size : 1 + random_below(size);
	start_frame = random_below(WINDOW_FRAMES - *count + 1);
	switch (random_below(4)) {
	case 0:
		start_frame &= ~511ull;
		break;
	case 1:
		start_frame &= ~((1ull << 18) - 1);
		break;
	case 2:
		start_frame &= ~1023ull;
		break;
	}
	*gfn = window_start[w] + start_frame;
	*mfn = random_below(1u << 20) << 18 | (*gfn & (random_below(3) ? 0x3ffff : 0x1ff));
	if (!random_below(4))
		*mfn = random_below(1u << 30);
}

/* Lets the operation fail at each allocation in turn; true: each time nothing had changed. */
static bool fails_cleanly(int (*op)(void *), void *ctx, int *rc)
{
	uint64_t before = fingerprint();
	unsigned tables = fake_pool_in_use();

	for (int64_t n = 0;; n++) {
		fake_pool_succeed = n;
		*rc = op(ctx);
		bool ran_out = fake_pool_succeed == 0;
		fake_pool_succeed = -1;
		if (*rc != -XEN_ENOMEM || !ran_out)
			return true;
		if (fingerprint() != before || fake_pool_in_use() != tables || !tree_good())
			return false;
	}
}

struct map_args {
	uint64_t gfn, mfn, count;
	enum p2m_type type;
	unsigned access;
};

static int op_map(void *ctx)
{
	struct map_args *a = ctx;

	return p2m_map(&p2m, make_gfn(a->gfn), make_mfn(a->mfn), a->count, a->type, a->access);
}

static bool unmap_was_good;
static int op_unmap(void *ctx)
{
	struct map_args *a = ctx;
	int rc;

	unmap_was_good = try_unmap(a->gfn, a->count, &rc);
	return rc;
}

static void test_random(bool has_1g, bool has_2m, uint32_t quota, unsigned rounds)
{
	unsigned bad_results = 0, bad_states = 0, bad_trees = 0, bad_failures = 0, bad_removals = 0;
	unsigned maps = 0, unmaps = 0, no_memory = 0, existing = 0;

	start(has_1g, has_2m, quota);
	for (unsigned round = 0; round < rounds; round++) {
		struct map_args a;
		int rc;

		random_range(&a.gfn, &a.mfn, &a.count);
		a.type = (enum p2m_type)(1 + random_below(P2M_TYPE_COUNT - 1));
		a.access = a.type == P2M_GRANT_RO ? P2M_R : P2M_R | (unsigned)random_below(8);
		bool inject = !random_below(8);
		uint64_t before = fingerprint();
		if (random_below(5) < 3) {
			int expected = model_map_result(a.gfn, a.count);

			if (inject)
				bad_failures += !fails_cleanly(op_map, &a, &rc);
			else
				rc = op_map(&a);
			if (rc == -XEN_ENOMEM && !expected) {
				no_memory++;
				bad_failures += fingerprint() != before;
				/* Only the quota can have been the reason: without it, it goes. */
				p2m.tables.quota = UINT32_MAX;
				rc = op_map(&a);
				p2m.tables.quota = quota;
				bad_failures += p2m.tables.used <= quota;
			}
			bad_results += rc != expected;
			existing += rc == -XEN_EEXIST;
			if (!rc) {
				model_map(a.gfn, a.mfn, a.count, a.type, a.access);
				maps++;
			} else {
				bad_failures += fingerprint() != before;
			}
		} else {
			unmap_was_good = true;
			if (inject)
				bad_failures += !fails_cleanly(op_unmap, &a, &rc);
			else
				rc = op_unmap(&a);
			if (rc == -XEN_ENOMEM) {
				no_memory++;
				bad_failures += fingerprint() != before;
			} else {
				bad_results += rc != 0;
				unmaps++;
			}
			bad_removals += !unmap_was_good;
		}
		if (!random_below(4))
			fake_epoch_pass();
		bad_trees += !tree_good();
		bad_states += !same_as_model(round % 64 == 0);
		if (model_mapped > 1000000) { /* room again */
			for (unsigned w = 0; w < WINDOWS; w++)
				bad_removals +=
				    !try_unmap(window_start[w], WINDOW_FRAMES, &rc) || rc;
			bad_results += p2m.tables.used != 1;
		}
	}
	const char *what = has_1g ? "1G" : has_2m ? "2M" : "4K";
	diag("%s: %u maps, %u unmaps, %u existing, %u out of tables", what, maps, unmaps, existing,
	     no_memory);
	is(bad_results, 0, "%s: random operations return what the model says", what);
	is(bad_states, 0, "%s: random operations leave what the model says", what);
	is(bad_trees, 0, "%s: entries are well formed, no empty table, none leaked", what);
	is(bad_failures, 0, "%s: a failing operation changes nothing", what);
	is(bad_removals, 0, "%s: what is removed is reported once, in whole runs, after the mark",
	   what);
	ok(maps > rounds / 20 && unmaps > rounds / 20 && existing > 0, "%s: all kinds happened",
	   what);
	if (quota < 1000)
		ok(no_memory > 0, "%s: the quota was met", what);
	finish(what);
}

static unsigned order_at(uint64_t gfn)
{
	struct p2m_entry e;

	return p2m_lookup(&p2m, make_gfn(gfn), &e) ? e.order : 99;
}

static int map(uint64_t gfn, uint64_t mfn, uint64_t count)
{
	return p2m_map(&p2m, make_gfn(gfn), make_mfn(mfn), count, P2M_RAM, P2M_RWX);
}

static void test_edges(void)
{
	struct p2m_entry e;
	uint64_t top = P2M_GFN_LIMIT;

	start(true, true, 100);
	uint64_t before = fingerprint();
	is(map(0, 5, 0), 0, "mapping no frame is no error");
	is(p2m_unmap(&p2m, make_gfn(7), 0, NULL, NULL), 0, "nor is removing none");
	is(map(top, 5, 0), 0, "nor at the very end");
	is(map(top, 5, 1), -XEN_EINVAL, "beyond the end");
	is(map(top - 1, 5, 2), -XEN_EINVAL, "across the end");
	is(map(~0ull, 5, 1), -XEN_EINVAL, "the last gfn there is");
	is(map(2, 5, ~0ull), -XEN_EINVAL, "gfn + count wraps around");
	is(map(~0ull, 5, 2), -XEN_EINVAL, "and again");
	is(map(0, 1ull << 40, 1), -XEN_EINVAL, "a frame beyond 52 bits");
	is(map(0, (1ull << 40) - 1, 2), -XEN_EINVAL, "across 52 bits");
	is(map(0, ~0ull, 1), -XEN_EINVAL, "MFN_INVALID");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_NONE, P2M_RW), -XEN_EINVAL, "no type");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_TYPE_COUNT, P2M_RW), -XEN_EINVAL,
	   "an unknown type");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_RAM, 0), -XEN_EINVAL, "no rights");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_RAM, P2M_W), -XEN_EINVAL,
	   "writable, not readable: a misconfiguration");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_RAM, P2M_X), -XEN_EINVAL, "execute-only");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_RAM, 9), -XEN_EINVAL, "unknown rights");
	is(p2m_map(&p2m, make_gfn(0), make_mfn(1), 1, P2M_GRANT_RO, P2M_RW), -XEN_EINVAL,
	   "a read-only grant made writable");
	is(p2m_unmap(&p2m, make_gfn(top), 1, NULL, NULL), -XEN_EINVAL, "removal beyond the end");
	is(p2m_unmap(&p2m, make_gfn(5), ~0ull, NULL, NULL), -XEN_EINVAL, "removal that wraps");
	is(p2m_unmap(&p2m, make_gfn(0), top, removed, NULL), 0,
	   "removal of everything where nothing is");
	ok(fingerprint() == before, "none of these changed anything");

	is(map(top - 1, 0x77, 1), 0, "the last frame");
	ok(p2m_lookup(&p2m, make_gfn(top - 1), &e) && mfn_raw(e.frame) == 0x77, "is found");
	ok(!p2m_lookup(&p2m, make_gfn(top), &e), "the one behind it is not");
	ok(!p2m_lookup(&p2m, make_gfn(top << 1 | (top - 1)), &e), "nor one with the same low bits");
	ok(!p2m_lookup(&p2m, GFN_INVALID, &e), "nor GFN_INVALID");
	is(map(top - 2, 0x100, 2), -XEN_EEXIST, "a range whose last frame is mapped");
	is(p2m_unmap(&p2m, make_gfn(0), top, NULL, NULL), 0, "removed, without a callback");
	is(p2m.tables.used, 1, "only the root is left");
	is(map(0x1ff, (1ull << 40) - 1, 1), 0, "the highest frame");
	ok(p2m_lookup(&p2m, make_gfn(0x1ff), &e) && mfn_raw(e.frame) == (1ull << 40) - 1 &&
	       e.access == P2M_RWX && e.type == P2M_RAM && e.order == 0,
	   "is stored whole");
	finish("edges");

	is(p2m_init(&p2m, 10, P2M_GFN_LIMIT + 1), -XEN_EINVAL, "max_gfn beyond four levels");
	is(p2m_init(&p2m, 0, 100), -XEN_ENOMEM, "no quota for a root");
	if (p2m_init(&p2m, 10, 100))
		bail_out("p2m_init");
	is(map(99, 1, 1), 0, "max_gfn 100: frame 99");
	is(map(100, 1, 1), -XEN_EINVAL, "frame 100 is refused");
	is(map(50, 1, 51), -XEN_EINVAL, "and a range that holds it");
	ok(!p2m_lookup(&p2m, make_gfn(100), &e), "and not looked up");
	is(p2m_unmap(&p2m, make_gfn(0), 100, NULL, NULL), 0, "removal up to max_gfn");
	finish("max_gfn");
}

static void test_large(void)
{
	const uint64_t g1 = FRAMES_PER_1G, g2 = FRAMES_PER_2M;
	int rc;

	start(true, true, 100);
	is(map(0, 4 * g1, 2 * g1), 0, "2 GiB, aligned");
	model_map(0, 4 * g1, 2 * g1, P2M_RAM, P2M_RWX);
	is(p2m.tables.used, 2, "two tables");
	is(order_at(12345), 18, "1G leaves");
	is(p2m.generation, 1, "mapping flushes nothing");
	is(map(12345, 1, 1), -XEN_EEXIST, "a frame inside a 1G leaf is there");
	is(map(g1 - 1, 1, 2), -XEN_EEXIST, "and across its end");

	ok(try_unmap(g1 + 5 * g2 + 17, 1, &rc) && rc == 0, "one frame out of a 1G leaf");
	is(p2m.tables.used, 4, "split into 2M leaves, and one of them into 4K");
	is(p2m.generation, 2, "the generation has moved once");
	ok(tree_good() && same_as_model(true), "everything else is as it was");
	is(order_at(g1 + 4 * g2), 9, "the neighbours are 2M leaves");
	is(order_at(g1 + 5 * g2 + 18), 0, "or 4K leaves");
	is(order_at(g1 + 5 * g2 + 17), 99, "there is a hole");

	ok(try_unmap(3, g1 - 6, &rc) && rc == 0, "all but both edges of a 1G leaf");
	is(p2m.tables.used, 4 + 3, "one table of level 2, two of level 1");
	ok(tree_good() && same_as_model(true), "the edges remain");
	ok(try_unmap(0, 2 * g1, &rc) && rc == 0, "everything");
	is(p2m.tables.used, 1, "no table remains but the root");
	is(p2m.generation, 4, "three removals");
	fake_epoch_pass();

	is(map(0, g1, g1), 0, "a 1G leaf again");
	model_map(0, g1, g1, P2M_RAM, P2M_RWX);
	ok(try_unmap(g2, g2, &rc) && rc == 0, "2M out of it");
	is(p2m.tables.used, 3, "takes one table");
	ok(try_unmap(10 * g2 + 1, 3, &rc) && rc == 0, "both edges within one 2M leaf");
	is(p2m.tables.used, 4, "takes one");
	ok(try_unmap(20 * g2 + 1, g2, &rc) && rc == 0, "edges in two 2M leaves");
	is(p2m.tables.used, 6, "takes two");
	ok(tree_good() && same_as_model(true), "and all is right");
	is(p2m_unmap(&p2m, make_gfn(g2), g2, NULL, NULL), 0, "removing a hole");
	uint64_t generation = p2m.generation;
	is(p2m_unmap(&p2m, make_gfn(g2), g2, NULL, NULL), 0, "and again");
	is(p2m.generation, generation, "moves nothing");
	is(map(g1, 8 * g1, g2 + 3), 0, "a 2M leaf, and frames that go on behind it");
	model_map(g1, 8 * g1, g2 + 3, P2M_RAM, P2M_RWX);
	struct removal r = {.gfn = g1, .end = 2 * g1, .generation = p2m.generation, .good = true};
	is(p2m_unmap(&p2m, make_gfn(g1), g1, removed, &r), 0, "removed");
	ok(r.good && r.runs == 2 && r.last.entry.order == 0,
	   "are two runs: a leaf's order is told");
	finish("large leaves");

	start(true, true, 6);
	is(map(0, g1, g1), 0, "a 1G leaf, and quota for four more tables");
	model_map(0, g1, g1, P2M_RAM, P2M_RWX);
	struct map_args inside = {.gfn = 5, .count = 3 * g2};
	ok(fails_cleanly(op_unmap, &inside, &rc) && rc == 0 && unmap_was_good,
	   "splitting fails cleanly at each allocation");
	is(p2m.tables.used, 5, "three tables were needed");
	uint64_t before = fingerprint();
	is(p2m_unmap(&p2m, make_gfn(50 * g2 + 1), 5 * g2, NULL, NULL), -XEN_ENOMEM,
	   "two more are beyond the quota");
	ok(fingerprint() == before && tree_good(), "nothing has changed");
	is(p2m_unmap(&p2m, make_gfn(50 * g2 + 1), 7, NULL, NULL), 0, "one is not");
	finish("quota");

	start(false, true, 100);
	is(map(g1, g1, g1), 0, "without 1G leaves");
	is(order_at(g1), 9, "2M leaves");
	is(p2m.tables.used, 3, "three tables");
	is(map(2 * g1, 3, g2), 0, "a frame that is not aligned like its gfn");
	is(order_at(2 * g1), 0, "4K leaves");
	finish("no 1G leaves");
}

static void join_begin(void)
{
	joins.tables = 0;
	joins.generation = p2m.generation;
	joins.good = true;
}

/* Since join_begin() so many tables were given up, one after the other, each as it should be. */
static bool joined(uint64_t tables)
{
	return joins.good && joins.tables == tables && p2m.generation == joins.generation &&
	       tree_good();
}

static int map_as(uint64_t gfn, uint64_t mfn, uint64_t count, enum p2m_type type, unsigned access)
{
	int rc = p2m_map(&p2m, make_gfn(gfn), make_mfn(mfn), count, type, access);

	if (!rc)
		model_map(gfn, mfn, count, type, access);
	return rc;
}

/* One frame of a 1G leaf at gfn 0 is taken out, something is put in its place, and taken out. */
static bool not_joined_with(uint64_t mfn, enum p2m_type type, unsigned access)
{
	int rc;

	join_begin();
	bool good = !map_as(5, mfn, 1, type, access) && joined(0) && order_at(6) == 0;
	return try_unmap(5, 1, &rc) && !rc && good;
}

static void test_join(void)
{
	const uint64_t g1 = FRAMES_PER_1G, g2 = FRAMES_PER_2M, at = window_start[1];
	int rc = 0;

	start(true, true, 200);
	is(map_as(0, 4 * g1, g1, P2M_RAM, P2M_RWX), 0, "a 1G leaf");
	ok(try_unmap(5, 1, &rc) && !rc && p2m.tables.used == 4 && order_at(6) == 0 &&
	       order_at(g2) == 9,
	   "less one frame: two tables more");
	ok(not_joined_with(4 * g1 + 6, P2M_RAM, P2M_RWX), "another frame in its place: not joined");
	ok(not_joined_with(4 * g1 + 5, P2M_FOREIGN, P2M_RWX), "nor another type");
	ok(not_joined_with(4 * g1 + 5, P2M_RAM, P2M_RW), "nor other rights");
	join_begin();
	test_cpu.index = 9;
	p2m_cpu_enter(&p2m);
	is(map_as(5, 4 * g1 + 5, 1, P2M_RAM, P2M_RWX), 0, "the same frame in its place");
	ok(joined(2) && order_at(5) == 18 && p2m.tables.used == 2 && same_as_model(true),
	   "a 1G leaf again, both tables given up after the generation had moved");
	is(cpu_shared[9].entry_work, ENTRY_WORK_EPT_FLUSH, "a CPU that may hold them is marked");
	cpu_shared[9].entry_work = 0;
	p2m_cpu_leave(&p2m);
	test_cpu.index = 0;
	is(pool_table(make_mfn(pool_table(p2m.root)[0] >> 12 & 0xffffffff))[0],
	   0x00100000000003b7 | (4 * g1 << 12), "the entry: accessed and dirty, as either may be");
	fake_epoch_pass();

	/* The quota that joining gave back is there to split. */
	p2m.tables.quota = 4;
	ok(try_unmap(g1 - 1, 1, &rc) && !rc, "split at its other end");
	join_begin();
	is(map_as(g1 - 1, 5 * g1 - 1, 1, P2M_RAM, P2M_RWX), 0, "and joined");
	ok(joined(2) && order_at(0) == 18, "with the quota for exactly that");
	p2m.tables.quota = 200;
	fake_epoch_pass();

	join_begin();
	for (uint64_t i = 0; !rc && i < 8; i++) /* backwards, as ranges that are not aligned */
		rc = map_as(at + (7 - i) * 64, 6 * g1 + (7 - i) * 64, 64, P2M_FOREIGN, P2M_RW);
	ok(!rc && joined(1) && order_at(at) == 9, "foreign frames, 64 at a time: a 2M leaf");
	is(map_as(at + g2 + 3, 6 * g1 + g2 + 3, 2 * g2, P2M_FOREIGN, P2M_RW), 0,
	   "a range not aligned");
	is(map_as(at + g2, 6 * g1 + g2, 3, P2M_FOREIGN, P2M_RW), 0, "and what was missing");
	ok(joined(2) && order_at(at + g2) == 9, "one more");
	fake_epoch_pass();

	join_begin();
	is(map_as(g1, 8 * g1 + g2, g1, P2M_RAM, P2M_RWX), 0, "512 2M leaves");
	ok(joined(0) && order_at(g1) == 9, "whose frames are not aligned to 1G: they stay");
	is(map_as(at + 7 * g2, 7 * g1 + 1, g2, P2M_RAM, P2M_RWX), 0,
	   "512 frames not aligned to 2M");
	ok(joined(0) && order_at(at + 7 * g2) == 0, "stay as well");
	for (uint64_t i = 0; !rc && i < g2; i++)
		rc = map_as(at + 9 * g2 + i, 9 * g1 + i, 1, P2M_GRANT_RW, P2M_RW);
	ok(!rc && joined(0) && order_at(at + 9 * g2) == 0,
	   "grants stay single: taking one back may not need a table");
	finish("joining");

	/* In batches: what is taken out and put back in one of them leaves the table as full. */
	start(false, true, 100);
	is(map_as(0, g1, g1, P2M_RAM, P2M_RWX), 0, "512 2M leaves, no larger ones offered");
	is(order_at(0), 9, "stay");
	struct p2m_batch b;
	p2m_batch_begin(&b, &p2m);
	for (uint64_t i = 0; !rc && i < g2; i++)
		rc = p2m_batch_map(&b, make_gfn(at + i), make_mfn(3 * g1 + i + (i == 7)), P2M_RAM,
				   P2M_RWX);
	p2m_batch_end(&b);
	model_map(at, 3 * g1, g2, P2M_RAM, P2M_RWX);
	ok(!rc && tree_good() && order_at(at) == 0, "a batch, with one frame wrong");
	join_begin();
	p2m_batch_begin(&b, &p2m);
	rc = p2m_batch_unmap(&b, make_gfn(at + 7));
	rc |= p2m_batch_map(&b, make_gfn(at + 7), make_mfn(3 * g1 + 7), P2M_RAM, P2M_RWX);
	p2m_batch_end(&b);
	joins.generation++; /* the removal's */
	ok(!rc && joined(1) && order_at(at) == 9, "which another batch puts right");
	finish("joining without 1G leaves");

	start(false, false, 3000);
	is(map_as(0, g1, g1, P2M_RAM, P2M_RWX), 0, "single frames, nothing larger offered");
	is(order_at(0), 0, "stay");
	finish("joining without large leaves");
	ept_configure(true, true, false);
	if (p2m_init(&p2m, 100, P2M_GFN_LIMIT))
		bail_out("p2m_init");
	rc = map(0, 0, g2 / 2) | map(g2 / 2, g2 / 2, g2 / 2);
	is(pool_table(make_mfn(
	       (pool_table(make_mfn((pool_table(p2m.root)[0] & 0xffffffffff000) >> 12))[0] &
		0xffffffffff000) >>
	       12))[0],
	   0x00100000000000b7, "without the flags a joined leaf has none");
	finish("joining without flags");
}

/* Ranges of what is one run of frames on both sides taken out and put back: 1G, 2M and 4K leaves
 * come and go. */
static void test_join_random(bool has_1g)
{
	unsigned bad = 0, large = 0;
	uint64_t tables = 0;

	start(has_1g, true, 3000);
	if (map_as(0, 8 * FRAMES_PER_1G, WINDOW_FRAMES, P2M_RAM, P2M_RWX))
		bail_out("no memory");
	for (unsigned round = 0; round < 600; round++) {
		uint64_t gfn = random_below(round % 2 ? 2048 : WINDOW_FRAMES - 2048);
		uint64_t count = 1 + random_below(round % 3 ? 3 : 2048);
		int rc;

		bad += !try_unmap(gfn, count, &rc) || rc;
		bad += !tree_good();
		join_begin();
		for (uint64_t i = 0, n; i < count; i += n) {
			n = 1 + random_below(count - i);
			bad +=
			    map_as(gfn + i, 8 * FRAMES_PER_1G + gfn + i, n, P2M_RAM, P2M_RWX) != 0;
		}
		bad += !joined(joins.tables) || !same_as_model(false);
		large += order_at(gfn) == (has_1g ? 18 : 9);
		tables += joins.tables;
		fake_epoch_pass();
	}
	is(bad, 0, "holes filled again: as the model has it, and joined");
	is(large, 600, "each time to the largest leaf");
	ok(tables >= 600 && same_as_model(true), "%u tables were given up", (unsigned)tables);
	finish("joining at random");
}

static void test_entries(void)
{
	struct p2m_entry e;

	start(true, true, 100);
	is(ept_pointer(&p2m), mfn_raw(p2m.root) << 12 | 0x5e,
	   "EPTP: write-back, four levels, accessed and dirty flags");
	ept_configure(true, true, false);
	is(ept_pointer(&p2m), mfn_raw(p2m.root) << 12 | 0x1e, "and without the flags");
	is(p2m_map(&p2m, make_gfn(0x1234), make_mfn(0xabcde), 1, P2M_GRANT_RO, P2M_R), 0, "a page");
	mfn_t table = p2m.root;
	for (unsigned level = 4; level > 1; level--)
		table = make_mfn(
		    (pool_table(table)[(0x1234 >> 9 * (level - 1)) & 511] & 0xffffffffff000) >> 12);
	uint64_t *leaf = &pool_table(table)[0x1234 & 511];
	is(*leaf, 0x00300000abcde031, "the entry: frame, write-back, readable, type in bit 52 on");
	*leaf |= 1ull << 8 | 1ull << 9;
	ok(p2m_lookup(&p2m, make_gfn(0x1234), &e) && e.type == P2M_GRANT_RO && e.access == P2M_R &&
	       mfn_raw(e.frame) == 0xabcde,
	   "flags that the processor sets disturb nothing");
	ept_configure(true, true, true);
	is(map(0x8000, 0x200, 512), 0, "a 2M leaf");
	uint64_t *large = &pool_table(
	    make_mfn((pool_table(make_mfn((pool_table(p2m.root)[0] & 0xffffffffff000) >> 12))[0] &
		      0xffffffffff000) >>
		     12))[0x40];
	is(*large, 0x00100000002000b7, "the entry: write-back, leaf, all rights, type");
	is(p2m_unmap(&p2m, make_gfn(0x8000), 1, NULL, NULL), 0, "one frame out of it");
	is(pool_table(make_mfn((*large & 0xffffffffff000) >> 12))[1], 0x0010000000201337,
	   "what remains counts as accessed and dirty: the processor may just have said so");
	is(p2m_unmap(&p2m, make_gfn(0x1234), 1, NULL, NULL), 0, "removed");
	is(*leaf, 0, "a removed entry is zero: nothing for a speculative walk to follow");
	finish("entries");
}

static void test_flush(void)
{
	start(true, true, 100);
	test_cpu.index = 70;
	is(map(0, 512, 1024), 0, "1024 frames");
	is(p2m_unmap(&p2m, make_gfn(0), 1, NULL, NULL), 0, "removal with no CPU active");
	unsigned marked = 0;
	for (unsigned i = 0; i < LAYOUT_CPUS_MAX; i++)
		marked += cpu_shared[i].entry_work != 0;
	is(marked, 0, "marks none");
	is(p2m_cpu_enter(&p2m), 2, "a CPU that enters learns the generation");
	is(map(0, 5, 1), 0, "mapping again");
	is(cpu_shared[70].entry_work, 0, "marks nobody");
	test_cpu.index = 511;
	is(p2m_cpu_enter(&p2m), 2, "a second CPU enters");
	test_cpu.index = 0;
	is(p2m_unmap(&p2m, make_gfn(0), 600, NULL, NULL), 0, "removal by a third");
	marked = 0;
	for (unsigned i = 0; i < LAYOUT_CPUS_MAX; i++)
		marked += cpu_shared[i].entry_work != 0;
	is(marked, 2, "marks two");
	is(cpu_shared[70].entry_work, ENTRY_WORK_EPT_FLUSH, "the first");
	is(cpu_shared[511].entry_work, ENTRY_WORK_EPT_FLUSH, "and the second");
	cpu_shared[70].entry_work = cpu_shared[511].entry_work = 0;
	test_cpu.index = 70;
	p2m_cpu_leave(&p2m);
	is(p2m_unmap(&p2m, make_gfn(600), 1, NULL, NULL), 0, "a removal after the first has left");
	is(cpu_shared[70].entry_work, 0, "does not mark it");
	is(cpu_shared[511].entry_work, ENTRY_WORK_EPT_FLUSH, "but the other one");
	is(p2m_cpu_enter(&p2m), 4, "which learns the new generation when it comes back");
	p2m_cpu_leave(&p2m);
	test_cpu.index = 511;
	p2m_cpu_leave(&p2m);
	test_cpu.index = 0;
	finish("flush");
}

static void test_failures(void)
{
	struct map_args a = {
	    .gfn = (1ull << 27) - 700, .mfn = 3, .count = 1400, .type = P2M_RAM, .access = P2M_RW};
	int rc;

	start(true, true, 100);
	ok(fails_cleanly(op_map, &a, &rc) && rc == 0, "mapping fails cleanly at each allocation");
	is(p2m.tables.used, 1 + 2 + 2 + 4, "two branches: nine tables");
	finish("failures");
	start(true, true, 8);
	is(op_map(&a), -XEN_ENOMEM, "one table short");
	ok(p2m.tables.used == 1 && fake_pool_in_use() == 1, "nothing was kept");
	p2m.tables.quota = 9;
	is(op_map(&a), 0, "exactly enough");
	finish("exact quota");
	fake_pool_succeed = 0;
	is(p2m_init(&p2m, 100, 100), -XEN_ENOMEM, "no root");
	fake_pool_succeed = -1;
	p2m_destroy(&p2m);
	pass("a p2m that was never made can be destroyed");
}

/* Single frames in batches, at random around the edges of tables, against the model. */
static void test_batch(bool large, uint32_t quota)
{
	bool good = true;

	start(large, large, quota);
	if (large) { /* something to split */
		if (p2m_map(&p2m, make_gfn(1024), make_mfn(4096), 512, P2M_RAM, P2M_RWX))
			bail_out("no large page");
		for (unsigned i = 0; i < 512; i++)
			model[0][1024 + i] = (struct model_frame){4096 + i, P2M_RAM, P2M_RWX};
		model_mapped += 512;
	}
	for (unsigned round = 0; round < 3000 && good; round++) {
		uint64_t before = atomic_load(&p2m.generation);
		struct p2m_batch b;
		bool out = random64() & 1, any = false;

		p2m_batch_begin(&b, &p2m);
		for (unsigned n = (unsigned)random_below(40); n && good; n--) {
			uint64_t gfn = window_start[random_below(2)] + 508 + random_below(8) +
				       512 * random_below(3);
			struct model_frame *m = model_at(gfn);
			struct model_frame want = {random_below(1u << 20) + 1,
						   random64() & 1 ? P2M_GRANT_RW : P2M_FOREIGN,
						   P2M_RW};
			good &= p2m_batch_mapped(&b, make_gfn(gfn)) == (m->type != P2M_NONE);
			int rc;
			if (out) {
				mfn_t frame = MFN_INVALID;
				bool take = random64() & 1, same = random64() & 1;
				unsigned type = same ? m->type : P2M_SHARED;

				rc = take ? p2m_batch_take(&b, make_gfn(gfn), (enum p2m_type)type,
							   &frame)
					  : p2m_batch_unmap(&b, make_gfn(gfn));
				if (take && (m->type == P2M_NONE || !same)) {
					good &= rc == (m->type ? -XEN_EINVAL : -XEN_ENOENT);
					continue;
				}
				good &= rc == 0 || rc == -XEN_ENOMEM;
				good &= rc || !take || mfn_raw(frame) == m->mfn;
				if (rc)
					continue;
				any |= m->type != P2M_NONE;
				model_mapped -= m->type != P2M_NONE;
				*m = (struct model_frame){0};
				continue;
			}
			rc = p2m_batch_map(&b, make_gfn(gfn), make_mfn(want.mfn),
					   (enum p2m_type)want.type, want.access);
			good &=
			    m->type != P2M_NONE ? rc == -XEN_EEXIST : rc == 0 || rc == -XEN_ENOMEM;
			if (!rc) {
				*m = want;
				model_mapped++;
			}
		}
		p2m_batch_end(&b);
		good &= any == (atomic_load(&p2m.generation) != before);
		if (round % 50 == 0)
			good &= tree_good() && same_as_model(true);
	}
	ok(good && tree_good() && same_as_model(true), "batches, as the model has it");
	struct p2m_batch b;
	p2m_batch_begin(&b, &p2m);
	is(p2m_batch_map(&b, make_gfn(p2m.max_gfn), make_mfn(1), P2M_RAM, P2M_RW), -XEN_EINVAL,
	   "beyond the end");
	is(p2m_batch_unmap(&b, make_gfn(p2m.max_gfn)), -XEN_EINVAL, "beyond the end, out");
	ok(!p2m_batch_mapped(&b, make_gfn(~0ull)), "nothing beyond all");
	is(p2m_batch_map(&b, make_gfn(7), make_mfn(1), P2M_GRANT_RO, P2M_RW), -XEN_EINVAL,
	   "a right that the type does not allow");
	p2m_batch_end(&b);
	finish("batches");
}

/* A frame in the place of another, in a batch: one flush, and leaves split and joined. */
static void test_exchange(void)
{
	uint64_t at = 1024, frame = 4096;
	struct p2m_batch b;
	unsigned bad = 0;
	mfn_t old;

	start(true, true, 3000);
	is(map_as(at, frame, 512, P2M_FOREIGN, P2M_RW), 0, "2 MiB");

	is(order_at(at), 9, "as one leaf");
	test_cpu.index = 70;
	uint64_t generation = p2m_cpu_enter(&p2m);
	test_cpu.index = 0;
	p2m_batch_begin(&b, &p2m);
	for (unsigned i = 0; i < 3; i++)
		bad += p2m_batch_exchange(&b, make_gfn(at + i), P2M_FOREIGN,
					  make_mfn(frame + 512 + i), &old) ||
		       mfn_raw(old) != frame + i;
	is(bad, 0, "three are exchanged");
	is(p2m_batch_exchange(&b, make_gfn(at + 600), P2M_FOREIGN, make_mfn(1), &old), -XEN_ENOENT,
	   "nothing is there");
	is(p2m_batch_exchange(&b, make_gfn(~0ull), P2M_FOREIGN, make_mfn(1), &old), -XEN_ENOENT,
	   "nothing beyond everything");
	is(p2m_batch_exchange(&b, make_gfn(at), P2M_RAM, make_mfn(1), &old), -XEN_EINVAL,
	   "another type");
	p2m_batch_end(&b);
	is(atomic_load(&p2m.generation), generation + 1, "one flush");
	is(cpu_shared[70].entry_work, ENTRY_WORK_EPT_FLUSH, "is asked for");
	cpu_shared[70].entry_work = 0;
	model_mapped -= 3;
	model_map(at, frame + 512, 3, P2M_FOREIGN, P2M_RW);
	ok(tree_good() && same_as_model(true) && !order_at(at), "as the model has it, in pages");
	p2m_batch_begin(&b, &p2m);
	for (unsigned i = 0; i < 3; i++)
		bad += p2m_batch_exchange(&b, make_gfn(at + i), P2M_FOREIGN, make_mfn(frame + i),
					  &old) ||
		       mfn_raw(old) != frame + 512 + i;
	p2m_batch_end(&b);
	model_mapped -= 3;
	model_map(at, frame, 3, P2M_FOREIGN, P2M_RW);
	ok(!bad && tree_good() && same_as_model(true), "back");
	is(order_at(at), 9, "one leaf again");
	p2m.tables.quota = p2m.tables.used;
	p2m_batch_begin(&b, &p2m);
	is(p2m_batch_exchange(&b, make_gfn(at), P2M_FOREIGN, make_mfn(1), &old), -XEN_ENOMEM,
	   "no table to split with");
	p2m_batch_end(&b);
	ok(tree_good() && same_as_model(true), "changes nothing");
	p2m.tables.quota = 3000;
	test_cpu.index = 70;
	p2m_cpu_leave(&p2m);
	test_cpu.index = 0;
	finish("exchange");
}

/* One frame into a leaf table that is there; the last one joins. */
static void test_fill(void)
{
	uint64_t at = 1024;
	int rc = 0;

	start(false, true, 3000);
	is(p2m_fill_page(&p2m, make_gfn(at), make_mfn(4096), P2M_RAM, P2M_RWX), -XEN_ENOENT,
	   "no table at all");
	is(p2m_fill_page(&p2m, make_gfn(p2m.max_gfn), make_mfn(4096), P2M_RAM, P2M_RWX),
	   -XEN_EINVAL, "no such place");
	is(map(at + 5, 4096 + 5, 1), 0, "one frame brings the table");
	model_map(at + 5, 4096 + 5, 1, P2M_RAM, P2M_RWX);
	is(p2m_fill_page(&p2m, make_gfn(at + 5), make_mfn(4096), P2M_RAM, P2M_RWX), -XEN_EEXIST,
	   "there is one");
	is(p2m_fill_page(&p2m, make_gfn(at + 512), make_mfn(4096), P2M_RAM, P2M_RWX), -XEN_ENOENT,
	   "no leaf table");
	for (unsigned i = 0; i < 512; i++)
		if (i != 5)
			rc |= p2m_fill_page(&p2m, make_gfn(at + i), make_mfn(4096 + i), P2M_RAM,
					    P2M_RWX);
	model_map(at, 4096, 5, P2M_RAM, P2M_RWX);
	model_map(at + 6, 4096 + 6, 506, P2M_RAM, P2M_RWX);
	ok(!rc && tree_good() && same_as_model(true), "the others are filled");
	is(order_at(at), 9, "and joined with the last");
	is(p2m_fill_page(&p2m, make_gfn(at), make_mfn(1), P2M_RAM, P2M_RWX), -XEN_EEXIST,
	   "nothing into a large leaf");
	finish("filling");
}

static int fill(uint64_t gfn)
{
	return p2m_fill_page(&p2m, make_gfn(gfn), make_mfn(gfn), P2M_RAM, P2M_RWX);
}

/* The table at hand is not used once it has left the tree, and not beyond the end. */
static void test_fill_again(void)
{
	uint64_t a = 1024, b = 5 * 512;
	int rc = 0;

	start(false, true, 3000);
	ok(!map(a, a, 1) && !map(b, b, 1) && !fill(a + 1), "a table at hand");
	is(p2m_unmap(&p2m, make_gfn(a), 2, NULL, NULL), 0, "which goes with its last page");
	fake_epoch_pass();
	is(fill(a + 1), -XEN_ENOENT, "it is gone");
	ok(!fill(b + 1) && !map(a, a, 1) && !fill(a + 1) && !fill(b + 2), "to and fro");
	is(fill(b + 1), -XEN_EEXIST, "a page that is there");
	for (unsigned i = 3; i < 512; i++)
		rc |= fill(b + i);
	is(rc, 0, "a full table");
	is(order_at(b), 9, "becomes a leaf");
	is(fill(b + 9), -XEN_EEXIST, "into which nothing goes");
	is(p2m_unmap(&p2m, make_gfn(b + 9), 1, NULL, NULL), 0, "one page out");
	ok(order_at(b) == 0 && !fill(b + 9) && order_at(b) == 9, "and in again");
	p2m.max_gfn = a + 3;
	ok(!fill(a + 2) && fill(a + 3) == -XEN_EINVAL, "up to the end");
	p2m.max_gfn = P2M_GFN_LIMIT;
	model_map(a, a, 3, P2M_RAM, P2M_RWX);
	model_map(b, b, 512, P2M_RAM, P2M_RWX);
	ok(tree_good() && same_as_model(true), "all of it");
	finish("filling again");
}

int main(void)
{
	tap_no_plan();
	fake_pool_init();
	fake_epoch_hook = table_freed;
	for (unsigned w = 0; w < WINDOWS; w++)
		model[w] = calloc(WINDOW_FRAMES, sizeof(struct model_frame));
	test_edges();
	test_large();
	test_join();
	test_join_random(true);
	test_join_random(false);
	test_entries();
	test_flush();
	test_failures();
	test_batch(false, 7);
	test_batch(true, 100);
	test_exchange();
	test_fill();
	test_fill_again();
	test_random(true, true, UINT32_MAX, 700);
	test_random(false, true, 60, 400);
	test_random(false, false, UINT32_MAX, 60);
	for (unsigned w = 0; w < WINDOWS; w++)
		free(model[w]);
	return tap_end();
}
