/*
 * version.c - what one content hash names, and its life.
 *
 * Runs in: gateway, cli.
 * Owns:    see fn.h.
 */
#include "runtime/fn/fn_priv.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct fn_version *
fn_version_new(const char *name)
{
	struct fn_version *version = calloc(1, sizeof(*version));

	if (version == NULL)
		abort();
	version->refs = 1;
	(void)slice_copy(version->name, sizeof(version->name), slice_of(name));
	fn_manifest_init(&version->manifest, name);
	return version;
}

struct fn_version *
fn_version_ref(struct fn_version *version)
{
	assert(version->refs > 0);
	version->refs++;
	return version;
}

void
fn_version_unref(struct fn_version *version)
{
	if (version == NULL || --version->refs > 0)
		return;
	if (version->free_pool_data != NULL)
		version->free_pool_data(version->pool_data);
	for (size_t i = 0; i < version->nmodules; i++) {
		free(version->modules[i].name);
		free(version->modules[i].source);
	}
	free(version->modules);
	fn_manifest_fini(&version->manifest);
	free(version);
}

/* A length before every string, so that no two contents look the same. */
static void
add_string(EVP_MD_CTX *md, const char *p, size_t n)
{
	unsigned char length[8];

	for (size_t i = 0; i < sizeof(length); i++)
		length[i] = (unsigned char)((uint64_t)n >> (8 * i));
	if (EVP_DigestUpdate(md, length, sizeof(length)) != 1 ||
	    EVP_DigestUpdate(md, p, n) != 1)
		abort();
}

static void
put_hex(char *out, const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

void
fn_version_hash(struct fn_version *version, struct slice manifest)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		abort();
	add_string(md, manifest.n == 0 ? "" : manifest.p, manifest.n);
	for (size_t i = 0; i < version->nmodules; i++) {
		const struct fn_module *module = &version->modules[i];

		add_string(md, module->name, strlen(module->name));
		add_string(md, module->source, module->source_bytes);
	}
	if (EVP_DigestFinal_ex(md, digest, NULL) != 1)
		abort();
	EVP_MD_CTX_free(md);
	put_hex(version->hash, digest, FN_HASH_HEX / 2);
}
