/*
 * fuzz_layers.c - whatever a zygote reports, what is accepted can be printed
 * and comes back the same.
 *
 * Runs in: tests.
 */
#include "sandbox/base/err.h"
#include "sandbox/wire/layers.h"
#include "sandbox/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wire_reader r = {data, bytes, false};
	struct jail_report report, again;
	struct buf b = {0};
	struct err err;

	if (jail_report_get(&r, &report, &err) < 0)
		return 0;
	jail_report_put(&report, &b);
	r = (struct wire_reader){(const uint8_t *)b.p, b.n, false};
	if (jail_report_get(&r, &again, &err) < 0 || !wire_got_all(&r) ||
	    memcmp(&report, &again, sizeof(report)) != 0)
		__builtin_trap();
	buf_fini(&b);
	return 0;
}
