/*
 * test_load.c - reading a function from the disk, and refusing to.
 *
 * Runs in: tests.
 */
#include "runtime/fn/fn_priv.h"
#include "sandbox/base/err.h"
#include "tests/unit/runtime/fn/folder.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct err err;

static struct fn_version *
load(const char *name)
{
	memset(&err, 0, sizeof(err));
	return fn_load(folder_fd, name, &err);
}

static void
refused(const char *name, enum err_code code, const char *says)
{
	struct fn_version *version = load(name);

	ck_assert_msg(version == NULL, "%s was not refused", name);
	ck_assert_msg(strstr(err.msg, says) != NULL, "says: %s\nnot: %s",
	    err.msg, says);
	ck_assert_int_eq(err.code, code);
}

static void
hash_of(const char *name, char hash[FN_HASH_HEX + 1])
{
	struct fn_version *version = load(name);

	ck_assert_msg(version != NULL, "%s: %s", name, err.msg);
	memcpy(hash, version->hash, FN_HASH_HEX + 1);
	fn_version_unref(version);
}

START_TEST(a_file_is_a_function)
{
	struct fn_version *v;

	folder_put("hello.lua", "return 1");
	folder_put("hello.json", "{\"timeout_ms\": 50}");
	v = load("hello");
	ck_assert_ptr_nonnull(v);
	ck_assert_str_eq(v->name, "hello");
	ck_assert_uint_eq(v->nmodules, 1);
	ck_assert_str_eq(v->modules[0].name, "init");
	ck_assert_str_eq(v->modules[0].source, "return 1");
	ck_assert_uint_eq(v->manifest.timeout_ms, 50);
	ck_assert_uint_eq(strlen(v->hash), FN_HASH_HEX);
	ck_assert_uint_eq(v->number, 0);
	fn_version_unref(v);
}
END_TEST

START_TEST(a_folder_is_a_function_with_modules_in_order)
{
	static const char *const want[] = {"init", "a.b.c", "a.init", "util"};
	struct fn_version *v;

	folder_mkdir("big");
	folder_mkdir("big/a");
	folder_mkdir("big/a/b");
	folder_put("big/util.lua", "return {}");
	folder_put("big/a/init.lua", "return {}");
	folder_put("big/a/b/c.lua", "return 3");
	folder_put("big/init.lua", "return 1");
	folder_put("big/function.json", "{\"heap\": \"shared\"}");
	folder_put("big/notes.txt", "no module");
	folder_put("big/.util.lua.swp", "no module");
	folder_put("big/util.lua~", "no module");
	v = load("big");
	ck_assert_msg(v != NULL, "%s", err.msg);
	ck_assert_uint_eq(v->nmodules, 4);
	for (size_t i = 0; i < 4; i++)
		ck_assert_str_eq(v->modules[i].name, want[i]);
	ck_assert_str_eq(v->modules[1].source, "return 3");
	ck_assert_int_eq(v->manifest.heap, WIRE_HEAP_SHARED);
	fn_version_unref(v);
}
END_TEST

START_TEST(shared_modules_come_with_who_requires_them)
{
	struct fn_version *v;

	folder_mkdir("_lib");
	folder_mkdir("_lib/sub");
	folder_put("_lib/one.lua", "return require('_lib.sub.two')");
	folder_put("_lib/sub/two.lua", "return require '_lib.one'");
	folder_put("_lib/other.lua", "return 1");
	folder_put("_lib/quoted.lua", "return 1");
	folder_put("user.lua",
	    "-- require('_lib.other')\n--[[ require('_lib.other') ]]\n"
	    "local ok = pcall(require, [[_lib.quoted]])\n"
	    "local x = require(\"_lib.one\") -- it's here\n"
	    "local none = pcall(require, '_lib.absent')\n");
	v = load("user");
	ck_assert_msg(v != NULL, "%s", err.msg);
	ck_assert_uint_eq(v->nmodules, 4);
	ck_assert_str_eq(v->modules[0].name, "init");
	ck_assert_str_eq(v->modules[1].name, "_lib.one");
	ck_assert_str_eq(v->modules[2].name, "_lib.quoted");
	ck_assert_str_eq(v->modules[3].name, "_lib.sub.two");
	fn_version_unref(v);
}
END_TEST

START_TEST(the_hash_names_everything_that_counts)
{
	char hashes[6][FN_HASH_HEX + 1];

	folder_put("f.lua", "return 1");
	hash_of("f", hashes[0]);
	folder_put("f.lua", "return 2");
	hash_of("f", hashes[1]);
	folder_put("f.json", "{}");
	hash_of("f", hashes[2]);
	folder_rm("f.json");
	folder_rm("f.lua");
	folder_mkdir("f");
	folder_put("f/init.lua", "return 2");
	folder_put("f/a.lua", "bc");
	hash_of("f", hashes[3]);
	folder_mv("f/a.lua", "f/ab.lua");
	folder_put("f/ab.lua", "c");
	hash_of("f", hashes[4]);
	folder_rm("f/ab.lua");
	hash_of("f", hashes[5]);
	for (int i = 0; i < 5; i++)
		for (int j = i + 1; j < 5; j++)
			ck_assert_str_ne(hashes[i], hashes[j]);
	ck_assert_str_eq(hashes[5], hashes[1]);
}
END_TEST

START_TEST(links_are_refused_with_a_reason)
{
	folder_put("real.lua", "return 1");
	ck_assert_int_eq(symlinkat("/etc/passwd", folder_fd, "out.lua"), 0);
	ck_assert_int_eq(symlinkat("real.lua", folder_fd, "in.lua"), 0);
	ck_assert_int_eq(symlinkat("/etc", folder_fd, "dir"), 0);
	ck_assert_int_eq(symlinkat("/etc/hostname", folder_fd, "real.json"), 0);
	refused("out", ERR_BAD_INPUT, "out.lua is a symbolic link");
	refused("in", ERR_BAD_INPUT, "in.lua is a symbolic link");
	refused("dir", ERR_BAD_INPUT, "dir is a symbolic link");
	refused("real", ERR_BAD_INPUT, "real.json is a symbolic link");
	folder_mkdir("f");
	folder_put("f/init.lua", "return 1");
	ck_assert_int_eq(symlinkat("..", folder_fd, "f/up.lua"), 0);
	refused("f", ERR_BAD_INPUT, "f/up.lua is a symbolic link");
	folder_rm("f/up.lua");
	folder_mkdir("lib");
	folder_put("lib/x.lua", "return 1");
	ck_assert_int_eq(symlinkat("lib", folder_fd, "_lib"), 0);
	folder_put("f/init.lua", "return require('_lib.x')");
	refused("f", ERR_BAD_INPUT, "_lib/x.lua is a symbolic link");
}
END_TEST

START_TEST(a_hard_link_is_a_file)
{
	struct fn_version *v;

	folder_put("real.lua", "return 1");
	ck_assert_int_eq(linkat(folder_fd, "real.lua", folder_fd, "other.lua",
			     0),
	    0);
	v = load("other");
	ck_assert_ptr_nonnull(v);
	fn_version_unref(v);
}
END_TEST

static void
make_socket(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s",
	    folder, name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	    0);
	(void)close(fd);
}

START_TEST(special_files_are_refused_at_once)
{
	ck_assert_int_eq(mkfifoat(folder_fd, "fifo.lua", 0600), 0);
	folder_mkdir("dir.lua");
	make_socket("sock.lua");
	refused("fifo", ERR_BAD_INPUT, "fifo.lua is not a regular file");
	refused("dir", ERR_BAD_INPUT, "dir.lua is not a regular file");
	refused("sock", ERR_BAD_INPUT, "sock.lua is not a regular file");
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
	int fd;

	folder_put("sparse.lua", "return 1");
	fd = openat(folder_fd, "sparse.lua", O_WRONLY);
	ck_assert_int_eq(ftruncate(fd, FN_SOURCE_MAX), 0);
	fn_version_unref(load("sparse"));
	ck_assert_int_eq(err.code, ERR_NONE);
	ck_assert_int_eq(ftruncate(fd, (off_t)1 << 40), 0);
	refused("sparse", ERR_LIMIT, "at most 1048576");
	(void)close(fd);
	folder_put("f.lua", "return 1");
	folder_put("f.json", "{}");
	fd = openat(folder_fd, "f.json", O_WRONLY);
	ck_assert_int_eq(ftruncate(fd, FN_MANIFEST_MAX + 1), 0);
	refused("f", ERR_LIMIT, "f.json has 65537 bytes, at most 65536");
	(void)close(fd);
}
END_TEST

START_TEST(too_many_and_too_much_are_refused)
{
	char file[64];
	int fd;

	folder_mkdir("f");
	folder_put("f/init.lua", "return 1");
	for (int i = 1; i < FN_MODULES_MAX; i++) {
		(void)snprintf(file, sizeof(file), "f/m%d.lua", i);
		folder_put(file, "return 1");
	}
	fn_version_unref(load("f"));
	ck_assert_int_eq(err.code, ERR_NONE);
	folder_put("f/more.lua", "return 1");
	refused("f", ERR_LIMIT, "more than 256 modules");
	folder_rm("f/more.lua");
	for (int i = 1; i < 10; i++) {
		(void)snprintf(file, sizeof(file), "f/m%d.lua", i);
		fd = openat(folder_fd, file, O_WRONLY);
		ck_assert_int_eq(ftruncate(fd, FN_SOURCE_MAX), 0);
		(void)close(fd);
	}
	refused("f", ERR_LIMIT, "more than 8388608 bytes");
}
END_TEST

START_TEST(folders_have_a_bottom_and_names)
{
	char path[64] = "deep";

	folder_mkdir(path);
	folder_put("deep/init.lua", "return 1");
	for (int i = 0; i < 8; i++) {
		strcat(path, "/d");
		folder_mkdir(path);
	}
	fn_version_unref(load("deep"));
	ck_assert_int_eq(err.code, ERR_NONE);
	strcat(path, "/d");
	folder_mkdir(path);
	refused("deep", ERR_BAD_INPUT, "is not a module's name");
	folder_mkdir("odd");
	folder_put("odd/init.lua", "return 1");
	folder_put("odd/a b\n.lua", "return 1");
	refused("odd", ERR_BAD_INPUT, "\"a b\\x0a.lua\" is not a module's");
	folder_mkdir("own");
	folder_mkdir("own/_lib");
	folder_put("own/init.lua", "return 1");
	refused("own", ERR_BAD_INPUT, "\"_lib\" is not a module's name");
}
END_TEST

START_TEST(bytecode_is_refused)
{
	folder_put("code.lua", "\x1bLua");
	refused("code", ERR_BAD_INPUT, "code.lua is Lua bytecode");
	folder_mkdir("_lib");
	folder_put("_lib/x.lua", "\x1bLua");
	folder_put("f.lua", "return require('_lib.x')");
	refused("f", ERR_BAD_INPUT, "_lib/x.lua is Lua bytecode");
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
	refused("none", ERR_NOT_FOUND, "none");
	folder_put("orphan.json", "{}");
	refused("orphan", ERR_NOT_FOUND, "orphan");
	folder_mkdir("empty");
	refused("empty", ERR_NOT_FOUND, "empty/init.lua");
	folder_mkdir("_lib");
	folder_put("_lib/init.lua", "return 1");
	refused("_lib", ERR_BAD_INPUT, "a function's name is");
	refused("../etc", ERR_BAD_INPUT, "a function's name is");
}
END_TEST

START_TEST(a_function_is_in_one_place)
{
	folder_put("two.lua", "return 1");
	folder_mkdir("two");
	folder_put("two/init.lua", "return 1");
	refused("two", ERR_BAD_INPUT, "both two.lua and two/");
	folder_rm("two.lua");
	folder_put("two.json", "{}");
	refused("two", ERR_BAD_INPUT, "put it into the folder");
}
END_TEST

START_TEST(a_bad_manifest_is_named)
{
	folder_put("f.lua", "return 1");
	folder_put("f.json", "{\n\"timeout_ms\": 0}");
	refused("f", ERR_BAD_INPUT, "f.json: line 2: timeout_ms: must be");
	folder_put("healthz.lua", "return 1");
	refused("healthz", ERR_BAD_INPUT, "the default route /healthz");
	folder_put("healthz.json", "{\"route\": \"/health\"}");
	fn_version_unref(load("healthz"));
	ck_assert_int_eq(err.code, ERR_NONE);
}
END_TEST

START_TEST(an_open_file_is_half_written)
{
	struct fn_look look = {.dirfd = folder_fd, .trust = FN_TRUST_NONE};
	struct fn_version *v;
	struct fn_seen seen;
	int fd = openat(folder_fd, "f.lua", O_WRONLY | O_CREAT, 0644);

	ck_assert_int_eq(write(fd, "return", 6), 6);
	ck_assert_ptr_null(fn_load_look(&look, "f", &seen, &err));
	ck_assert_int_eq(err.sys, EAGAIN);
	ck_assert_ptr_nonnull(strstr(err.msg, "f.lua is being written"));
	(void)close(fd);
	v = fn_load_look(&look, "f", &seen, &err);
	ck_assert_msg(v != NULL, "%s", err.msg);
	ck_assert(!seen.uses_lib);
	fn_version_unref(v);
}
END_TEST

START_TEST(a_signature_changes_with_what_it_names)
{
	struct fn_look look = {.dirfd = folder_fd};
	uint64_t before;

	ck_assert_uint_eq(fn_signature(&look, "f"), 0);
	folder_mkdir("f");
	folder_mkdir("f/sub");
	folder_put("f/init.lua", "return 1");
	before = fn_signature(&look, "f");
	ck_assert_uint_ne(before, 0);
	folder_put("f/.hidden", "x");
	ck_assert_uint_eq(fn_signature(&look, "f"), before);
	folder_put("f/sub/a.lua", "return 1");
	ck_assert_uint_ne(fn_signature(&look, "f"), before);
	folder_rm("f/sub/a.lua");
	ck_assert_uint_eq(fn_signature(&look, "f"), before);
	folder_put("f.json", "{}");
	ck_assert_uint_ne(fn_signature(&look, "f"), before);
}
END_TEST

static void
check_path(const char *file, const char *name)
{
	struct fn_version *v;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, file);
	v = fn_load_path(path, &err);
	if (name == NULL) {
		ck_assert_ptr_null(v);
		return;
	}
	ck_assert_msg(v != NULL, "%s: %s", path, err.msg);
	ck_assert_str_eq(v->name, name);
	fn_version_unref(v);
}

START_TEST(a_person_may_say_it_in_many_ways)
{
	folder_put("hello.lua", "return require('_lib.x')");
	folder_put("hello.txt", "return 1");
	folder_put("hello.json", "{}");
	folder_mkdir("_lib");
	folder_put("_lib/x.lua", "return 1");
	folder_mkdir("big");
	folder_put("big/init.lua", "return 1");
	check_path("hello.lua", "hello");
	check_path("big", "big");
	check_path("big/", "big");
	check_path("big/.", "big");
	check_path("big/init.lua", "big");
	check_path("hello.txt", NULL);
	check_path("hello.json", NULL);
	ck_assert_ptr_nonnull(strstr(err.msg, "a function is NAME.lua"));
	check_path("_lib", NULL);
	check_path("none.lua", NULL);
	ck_assert_ptr_nonnull(strstr(err.msg, "none.lua: No such file"));
	ck_assert_int_eq(chdir(folder), 0);
	fn_version_unref(fn_load_path("hello.lua", &err));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/fn/load");
	TCase *tcase = tcase_create("load");

	tcase_add_checked_fixture(tcase, folder_setup, folder_teardown);
	tcase_add_test(tcase, a_file_is_a_function);
	tcase_add_test(tcase, a_folder_is_a_function_with_modules_in_order);
	tcase_add_test(tcase, shared_modules_come_with_who_requires_them);
	tcase_add_test(tcase, the_hash_names_everything_that_counts);
	tcase_add_test(tcase, links_are_refused_with_a_reason);
	tcase_add_test(tcase, a_hard_link_is_a_file);
	tcase_add_test(tcase, special_files_are_refused_at_once);
	tcase_add_test(tcase, absurd_sizes_are_refused);
	tcase_add_test(tcase, too_many_and_too_much_are_refused);
	tcase_add_test(tcase, folders_have_a_bottom_and_names);
	tcase_add_test(tcase, bytecode_is_refused);
	tcase_add_test(tcase, what_is_not_there_is_not_found);
	tcase_add_test(tcase, a_function_is_in_one_place);
	tcase_add_test(tcase, a_bad_manifest_is_named);
	tcase_add_test(tcase, an_open_file_is_half_written);
	tcase_add_test(tcase, a_signature_changes_with_what_it_names);
	tcase_add_test(tcase, a_person_may_say_it_in_many_ways);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
