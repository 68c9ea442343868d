/*
 * Mutation builds: one mistake each, made on purpose, to see which test notices (`make
 * test-mutants`, tests/mutants.toml).
 *
 * MUTANT(NAME) is 0, at compile time, in every build but the one compiled with -DMUTANT_NAME=1:
 * there it is 1. Places are few, and each stands where the right thing is done.
 */
#ifndef KEYHOLE_MUTANT_H
#define KEYHOLE_MUTANT_H

/* If the option is defined as 1, its name becomes "0," and moves 1 into the second place. */
#define MUTANT_PLACE_1			  0,
#define MUTANT_SECOND(first, second, ...) second
#define MUTANT_VALUE(place)		  MUTANT_SECOND(place 1, 0, 0)
#define MUTANT_PASTE(value)		  MUTANT_VALUE(MUTANT_PLACE_##value)
#define MUTANT_EXPAND(option)		  MUTANT_PASTE(option)
#define MUTANT(name)			  MUTANT_EXPAND(MUTANT_##name)

#endif
