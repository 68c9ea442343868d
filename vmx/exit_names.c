/*
 * Exit reasons, VM-instruction errors and VMCS fields as text, for reports.
 *
 * State: constant tables only. No lock.
 */
#include "types.h"
#include "vmx/exit_reasons.h"
#include "vmx/vmcs_fields.h"

#define TEXT_BY_NUMBER(name, number, text) [number] = text,
static const char *const reason_texts[] = {VMX_EXIT_REASONS(TEXT_BY_NUMBER)};
static const char *const error_texts[] = {VMX_INSTRUCTION_ERRORS(TEXT_BY_NUMBER)};
#undef TEXT_BY_NUMBER

struct field_text {
	uint32_t encoding;
	const char *text;
};
#define FIELD_TEXT(name, enc, text) {enc, text},
static const struct field_text field_texts[] = {VMCS_FIELDS_16(FIELD_TEXT) VMCS_FIELDS_64(
    FIELD_TEXT) VMCS_FIELDS_32(FIELD_TEXT) VMCS_FIELDS_NATURAL(FIELD_TEXT)};
#undef FIELD_TEXT

const char *vmx_exit_reason_name(uint32_t exit_reason)
{
	uint32_t basic = exit_reason & EXIT_REASON_BASIC_MASK;

	if (basic >= array_size(reason_texts) || !reason_texts[basic])
		return "unknown";
	return reason_texts[basic];
}

const char *vmx_instruction_error_name(uint32_t error)
{
	if (error >= array_size(error_texts) || !error_texts[error])
		return "unknown";
	return error_texts[error];
}

const char *vmcs_field_name(uint32_t encoding)
{
	for (size_t i = 0; i < array_size(field_texts); i++)
		if (field_texts[i].encoding == encoding)
			return field_texts[i].text;
	return "unknown";
}
