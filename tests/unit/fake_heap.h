/* The heap, for unit tests: how many objects are out, and a question before each. */
#ifndef KEYHOLE_TEST_FAKE_HEAP_H
#define KEYHOLE_TEST_FAKE_HEAP_H

#include "mm/heap.h"

extern _Atomic int fake_heap_objects;
/* The test's own: whether this allocation is to fail. */
bool fake_heap_fails(void);

#endif
