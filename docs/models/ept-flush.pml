/*
 * Who removes rights from a p2m, and who enters a guest: a model for Spin (`make model`).
 *
 * One CPU loads a vCPU, enters its guest, exits, and takes it off again (vmx/vcpu.c, vmx/run.c,
 * vmx/ept.c: p2m_cpu_enter); another takes a frame out of the p2m, marks the CPUs that may hold
 * translations, and gives the frame back when the epoch has passed (vmx/ept_unmap.c,
 * p2m_mark_flush; mm/epoch.c), or joins: the entry then leads elsewhere without having been not
 * present, and what is given back is the table (vmx/ept_map.c: ept_join). Each CPU has a store
 * buffer, as x86 processors do: a plain store waits there while later loads are carried out; a
 * locked operation lets it drain first.
 *
 * The locked operation that finds no work also says that the CPU is in guest mode; the one that marks
 * it learns from that whether to send an IPI, one until the CPU looks (cpu_kick()). A short exit does
 * not say that guest mode was left, and enters again by looking once (vmx/exit.c).
 *
 * Properties: no guest uses a translation of a frame, or a table, that has been given back; and when
 * it has been marked, no CPU stays in guest mode with that translation without an IPI on its way.
 *
 * Mistakes, of which each must break one of them:
 *	-DNO_FENCE_ENTER	who enters says so by a plain store
 *	-DNO_FENCE_REMOVE	who removes moves the generation by a plain store
 *	-DEPOCH_LAST		entry work: does not look again at what was marked meanwhile
 *	-DNO_FENCE_GUEST	says that it is in guest mode by a plain store, after it has looked
 *	-DNO_IPI		marks, and sends no IPI
 */
#define REMOVALS 2
#define ENTRIES 3

#define WORK_EPT_FLUSH 1
#define WORK_EPOCH 2

mtype = { ENTRY, GENERATION, ACTIVE, IN_GUEST };

/* Memory. The entry holds the frame that the guest's page is mapped to, 0: not present. */
byte entry = 1, generation = 1, loaded_here = 0;
byte work = WORK_EPOCH;	/* of the CPU that enters; something else waits for it already */
byte global_epoch = 1, own_epoch = 0;
byte in_guest = 0, kicked = 0;	/* bits of the same word as work */

/* Not memory: what the entering CPU's TLB holds for the page, and which frames are free. */
byte tlb = 1;	/* it ran this guest before */
bool running = false, ipi = false;
bool freed[REMOVALS + 2];

chan buffer_enter = [2] of { mtype, byte };
chan buffer_remove = [2] of { mtype, byte };

#define LOCKED(buffer, operation) atomic { empty(buffer) -> operation }

inline write(variable, value)
{
	if
	:: variable == ENTRY -> entry = value
	:: variable == GENERATION -> generation = value
	:: variable == ACTIVE -> loaded_here = value
	:: variable == IN_GUEST -> in_guest = value
	fi
}

proctype drain(chan buffer)
{
	mtype variable;
	byte value;

end:	do
	:: atomic { buffer ? variable, value -> write(variable, value) }
	od
}

/* epoch_quiescent(): clears its bit, reads the global epoch, publishes it. */
inline pass_quiescent_point()
{
	LOCKED(buffer_enter, work = work & ~WORK_EPOCH);
	seen_epoch = global_epoch;
	LOCKED(buffer_enter, own_epoch = seen_epoch)
}

/* INVEPT, and which generation it was good for. */
inline flush_if_marked()
{
	if
	:: marked & WORK_EPT_FLUSH ->
		LOCKED(buffer_enter, work = work & ~WORK_EPT_FLUSH);
		seen_generation = generation;
		tlb = 0
	:: else
	fi
}

active proctype enters()
{
	byte seen_generation = 1, seen_epoch, now, marked, passed, entries = 0;

	do
	:: entries < ENTRIES ->
		/* load(): from p2m_cpu_enter() on */
#ifdef NO_FENCE_ENTER
		buffer_enter ! ACTIVE, 1;
#else
		LOCKED(buffer_enter, loaded_here = 1);
#endif
		now = generation;
		if
		:: now != seen_generation -> tlb = 0; seen_generation = now
		:: else
		fi;
again:
		/* vmx_entry_work() */
		buffer_enter ! IN_GUEST, 0;
		passed = 0;
look:
		marked = work;
		if
		:: (marked & ~passed) == 0 && !kicked ->
#ifdef NO_FENCE_GUEST
			buffer_enter ! IN_GUEST, 1; running = true
#else
			if
			:: LOCKED(buffer_enter, if
				:: (work & ~passed) == 0 && !kicked -> in_guest = 1; running = true
				:: else
				fi)
			fi;
			if
			:: running
			:: else -> goto look
			fi
#endif
		:: else ->
			LOCKED(buffer_enter, kicked = 0);
			if
			:: marked & WORK_EPOCH -> pass_quiescent_point()
			:: else
			fi;
			flush_if_marked();
			passed = WORK_EPOCH;
#ifdef EPOCH_LAST
			LOCKED(buffer_enter, in_guest = 1; running = true)
#else
			goto look
#endif
		fi;
guest:
		/* The guest runs: a page walk fills the TLB, an access uses it. */
		entries++;
		do
		:: atomic { tlb == 0 && entry != 0 -> tlb = entry }
		:: atomic { tlb != 0 -> assert(!freed[tlb]) }
		:: break
		od;
		/* VM exit, by itself or by an IPI */
		atomic { running = false; ipi = false };
		if
		:: entries < ENTRIES -> goto again
		:: entries < ENTRIES -> /* a short one */
			if
			:: work == 0 && !kicked -> running = true; goto guest
			:: else -> goto again
			fi
		:: else
		fi;
		LOCKED(buffer_enter, in_guest = 0; loaded_here = 0);
		/* Others run here, or nobody: quiescent points without this guest. */
		if
		:: work & WORK_EPOCH -> pass_quiescent_point()
		:: true
		fi
	:: else -> break
	od;
end:	do
	:: work & WORK_EPOCH -> pass_quiescent_point()
	od
}

active proctype removes()
{
	byte removals = 0, is_loaded, own_generation = 1, epoch;
	bool joins, send;

	do
	:: removals < REMOVALS ->
		removals++;
		/* p2m_unmap(), or ept_join() */
		if
		:: joins = false; buffer_remove ! ENTRY, 0
		:: joins = true; buffer_remove ! ENTRY, removals + 1
		fi;
		own_generation++;
#ifdef NO_FENCE_REMOVE
		buffer_remove ! GENERATION, own_generation;
#else
		LOCKED(buffer_remove, generation = own_generation);
#endif
		is_loaded = loaded_here;
		if
		:: is_loaded ->
			LOCKED(buffer_remove, work = work | WORK_EPT_FLUSH;
				send = in_guest && !kicked; kicked = 1);
#ifndef NO_IPI
			if
			:: send -> ipi = true
			:: else
			fi
#endif
		:: else
		fi;
		assert(!(running && tlb == removals && !ipi));
		/* epoch_free_frames() */
		LOCKED(buffer_remove, global_epoch++; epoch = global_epoch);
		LOCKED(buffer_remove, work = work | WORK_EPOCH);
end:		own_epoch >= epoch;
		freed[removals] = true;
		/* Another frame takes its place: not present -> present flushes nothing. */
		if
		:: joins
		:: else -> buffer_remove ! ENTRY, removals + 1
		fi
	:: else -> break
	od
}

init
{
	run drain(buffer_enter);
	run drain(buffer_remove)
}
