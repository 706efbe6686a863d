/*
 * test_crypto.c - known answers (FIPS 180-4, RFC 4231, RFC 8439, RFC 4648),
 * and randomness that belongs to a request.
 *
 * Runs in: tests.
 */
#include "sandbox/lua/chacha.h"
#include "sandbox/lua/sha256.h"
#include "tests/unit/sandbox/lua/lua_unit.h"

START_TEST(sha256_gives_the_known_answers)
{
	ck_eval("return crypto.sha256('abc')",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_eval("return crypto.sha256('')",
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	ck_eval("return crypto.sha256('abcdbcdecdefdefgefghfghighijhijkijkljklm"
		"klmnlmnomnopnopq')",
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	ck_eval("return crypto.sha256(('a'):rep(1000000))",
	    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	ck_eval("return #crypto.sha256('abc', 'raw')", "32");
	ck_error("crypto.sha256('x', 'base64')", "invalid option");
}
END_TEST

START_TEST(sha256_does_not_care_how_it_is_fed)
{
	uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES], data[300];
	struct sha256 s;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31);
	for (size_t n = 0; n < sizeof(data); n++) {
		sha256_init(&s);
		sha256_add(&s, data, n);
		sha256_end(&s, whole);
		sha256_init(&s);
		for (size_t i = 0; i < n; i += 7)
			sha256_add(&s, data + i, n - i < 7 ? n - i : 7);
		sha256_end(&s, pieces);
		ck_assert_mem_eq(whole, pieces, SHA256_BYTES);
	}
}
END_TEST

START_TEST(hmac_gives_the_known_answers)
{
	ck_eval("return crypto.hmac_sha256(('\\x0b'):rep(20), 'Hi There')",
	    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	ck_eval("return crypto.hmac_sha256('Jefe', 'what do ya want for "
		"nothing?')",
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	ck_eval("return crypto.hmac_sha256(('\\xaa'):rep(131), 'Test Using "
		"Larger Than Block-Size Key - Hash Key First')",
	    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}
END_TEST

/* RFC 8439, 2.4.2: the stream is what encrypts zeros. */
START_TEST(chacha_gives_the_known_stream)
{
	static const uint8_t nonce[CHACHA_NONCE_BYTES] = {0, 0, 0, 9, 0, 0, 0,
	    0x4a, 0, 0, 0, 0};
	static const uint8_t expected[] = {0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b,
	    0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4, 0xc7,
	    0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22, 0xaa, 0x9a,
	    0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
	    0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12,
	    0x9c, 0xd1, 0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2,
	    0x50, 0x3c, 0x4e};
	uint8_t key[CHACHA_KEY_BYTES], got[200], pieces[200];
	struct chacha c;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	chacha_init(&c, key, nonce, 1);
	chacha_bytes(&c, got, sizeof(got));
	ck_assert_mem_eq(got, expected, sizeof(expected));
	chacha_init(&c, key, nonce, 1);
	for (size_t i = 0; i < sizeof(pieces); i++)
		chacha_bytes(&c, pieces + i, 1);
	ck_assert_mem_eq(got, pieces, sizeof(got));
}
END_TEST

START_TEST(random_bytes_come_from_the_requests_seed)
{
	static char first[256];
	const char *source = "local init = crypto.uuid() "
			     "return function() return init .. ' ' .. "
			     "crypto.uuid() .. ' ' .. math.random(0) .. ' ' .. "
			     "base64.encode(crypto.random(16)) end";

	ck_assert_int_eq(unit_load(source), 0);
	ck_assert_int_eq(unit_json("{}"), 0);
	(void)slice_copy(first, sizeof(first), slice_of(unit.text));
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(first, unit.text); /* the same request again */
	unit.seed[31] ^= 1;
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_int_eq(strncmp(first, unit.text, 36), 0); /* the image's */
	ck_assert_str_ne(first + 37, unit.text + 37);
	ck_assert_ptr_ne(strchr(first + 74, ' '), NULL);
	ck_assert_str_ne(strrchr(first, ' '), strrchr(unit.text, ' '));
}
END_TEST

START_TEST(a_uuid_is_version_four)
{
	ck_eval("for i = 1, 100 do assert(crypto.uuid():match('^%x%x%x%x%x%x%x"
		"%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
		"')) end return tostring(crypto.uuid() == crypto.uuid())",
	    "false");
	ck_eval("return #crypto.random(0) + #crypto.random(65536)", "65536");
	ck_error("crypto.random(65537)", "0 to 65536");
	ck_error("crypto.random(-1)", "0 to 65536");
}
END_TEST

START_TEST(equal_compares_whole_strings)
{
	ck_eval("return tostring(crypto.equal('abc', 'abc'))", "true");
	ck_eval("return tostring(crypto.equal('abc', 'abd'))", "false");
	ck_eval("return tostring(crypto.equal('abc', 'abcd'))", "false");
	ck_eval("return tostring(crypto.equal('', 'a'))", "false");
	ck_eval("return tostring(crypto.equal('a\\0b', 'a\\0c'))", "false");
}
END_TEST

START_TEST(math_random_is_uniform_and_bounded)
{
	ck_eval("local n = {0, 0, 0, 0, 0, 0} for i = 1, 60000 do "
		"local r = math.random(6) n[r] = n[r] + 1 end "
		"for i = 1, 6 do assert(n[i] > 9500 and n[i] < 10500, n[i]) "
		"end return 'ok'",
	    "ok");
	ck_eval("for i = 1, 1000 do local x = math.random() "
		"assert(x >= 0 and x < 1) end return math.random(7, 7)",
	    "7");
	ck_eval("return math.type(math.random(math.mininteger, "
		"math.maxinteger))",
	    "integer");
	ck_error("math.random(0, -1)", "interval is empty");
	ck_error("math.random(1, 2, 3)", "wrong number of arguments");
}
END_TEST

START_TEST(an_explicit_seed_holds_for_the_rest_of_the_request)
{
	ck_assert_int_eq(unit_load("math.randomseed(42) return function(e) "
				   "if e.seed then math.randomseed(e.seed) end "
				   "return tostring(math.random(1 << 40)) end"),
	    0);
	ck_assert_int_eq(unit_json("{\"seed\":42}"), 0);
	char *seeded = slice_dup(slice_of(unit.text));
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_ne(seeded, unit.text);
	unit.seed[0] ^= 1;
	ck_assert_int_eq(unit_json("{\"seed\":42}"), 0);
	ck_assert_str_eq(seeded, unit.text);
	free(seeded);
	ck_eval("math.randomseed(0.5) math.randomseed(1, 2) math.randomseed() "
		"return 'ok'",
	    "ok");
}
END_TEST

START_TEST(base64_gives_the_known_answers)
{
	ck_eval("local t = {} for _, s in ipairs{'', 'f', 'fo', 'foo', 'foob', "
		"'fooba', 'foobar'} do t[#t+1] = base64.encode(s) "
		"assert(base64.decode(t[#t]) == s) end "
		"return table.concat(t, ' ')",
	    " Zg== Zm8= Zm9v Zm9vYg== Zm9vYmE= Zm9vYmFy");
	ck_eval("return base64.encode('\\xfb\\xff\\xfe') .. "
		"base64.encode('\\xfb\\xff\\xfe\\xff', 'url')",
	    "+//+-__-_w");
	ck_eval("for i = 0, 300 do local s = crypto.random(i) "
		"assert(base64.decode(base64.encode(s)) == s) "
		"assert(base64.decode(base64.encode(s, 'url'), 'url') == s) "
		"end return base64.decode('Zg==', 'url')",
	    "f");
}
END_TEST

static const struct {
	const char *text, *said;
} bad_base64[] = {
    {"Zg", "base64: wrong length or padding at byte 2"},
    {"Zg=", "wrong length or padding"},
    {"Z===", "invalid character at byte 2"},
    {"Zm9vA", "wrong length or padding"},
    {"Zm 9", "invalid character at byte 3"},
    {"Zg==Zg==", "invalid character at byte 3"},
    {"-_-_", "invalid character at byte 1"},
    {"Zh==", "bits left over"},
    {"Zm9=", "bits left over"},
};

START_TEST(bad_base64_is_nil_and_why)
{
	char code[128];

	(void)snprintf(code, sizeof(code), "assert(base64.decode('%s'))",
	    bad_base64[_i].text);
	ck_error(code, bad_base64[_i].said);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/crypto");
	TCase *tcase = unit_case(suite, "crypto");

	tcase_add_test(tcase, sha256_gives_the_known_answers);
	tcase_add_test(tcase, sha256_does_not_care_how_it_is_fed);
	tcase_add_test(tcase, hmac_gives_the_known_answers);
	tcase_add_test(tcase, chacha_gives_the_known_stream);
	tcase_add_test(tcase, random_bytes_come_from_the_requests_seed);
	tcase_add_test(tcase, a_uuid_is_version_four);
	tcase_add_test(tcase, equal_compares_whole_strings);
	tcase_add_test(tcase, math_random_is_uniform_and_bounded);
	tcase_add_test(tcase,
	    an_explicit_seed_holds_for_the_rest_of_the_request);
	tcase_add_test(tcase, base64_gives_the_known_answers);
	tcase_add_loop_test(tcase, bad_base64_is_nil_and_why, 0,
	    sizeof(bad_base64) / sizeof(bad_base64[0]));
	return unit_run(suite);
}
