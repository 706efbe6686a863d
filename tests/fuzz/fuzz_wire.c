/*
 * fuzz_wire.c - whatever a worker sends, the gateway only ever says no.
 *
 * Runs in: tests.
 */
#include "sandbox/base/err.h"
#include "sandbox/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wire_header header;
	struct err err;

	while (wire_parse(&header, data, bytes, WIRE_WORKER,
		   WIRE_RUNNING | WIRE_BUILDING, &err) == 0) {
		struct wire_reader r;

		data += WIRE_HEADER_BYTES;
		bytes -= WIRE_HEADER_BYTES;
		if (header.body_bytes > bytes)
			return 0;
		r = (struct wire_reader){data, header.body_bytes, false};
		(void)wire_get_u16(&r);
		(void)wire_get_u64(&r);
		for (uint32_t n = wire_get_u32(&r); n > 0 && !r.bad; n--)
			(void)wire_get_str(&r);
		(void)wire_get_rest(&r);
		data += header.body_bytes;
		bytes -= header.body_bytes;
	}
	return 0;
}
