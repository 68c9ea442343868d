# The users' main way to run, where there is no VT-x: QEMU with nested KVM on Linux inside Bochs.
# Included by tools/tools.mk. See tools/nested/README.md.

.PHONY: test-nested
test-nested: $(BUILD)/keyhole.iso ## the demo in QEMU with nested KVM, on Linux inside Bochs
	tools/nested/test $<
