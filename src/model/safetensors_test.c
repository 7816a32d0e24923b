/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include "base/rng.h"
#include "base/test.h"

static struct assay_error err;

/* A file in memory: the length, the header, and data bytes 0, 1, 2 … */
struct image {
    char bytes[1024];
    size_t size;
};

static struct image make_image(const char *header, size_t data_bytes)
{
    struct image image = {{0}, 0};
    size_t n = strlen(header);
    image.bytes[0] = (char)(n & 255);
    image.bytes[1] = (char)(n >> 8);
    memcpy(image.bytes + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++)
        image.bytes[8 + n + i] = (char)i;
    image.size = 8 + n + data_bytes;
    return image;
}

static enum assay_status parse(const struct image *image)
{
    struct assay_safetensors file;
    memset(&err, 0, sizeof err);
    enum assay_status st = assay_safetensors_parse(&file, image->bytes, image->size, "x.safetensors", &err);
    if (!st)
        assay_safetensors_release(&file);
    return st;
}

static struct assay_tensor counting(enum assay_dtype dtype, int64_t n)
{
    struct assay_type type = assay_type_make(dtype, 1, &n);
    struct assay_tensor tensor;
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &err), err);
    for (int64_t i = 0; i < n; i++)
        assay_tensor_set_real(&tensor, i, (double)(i % 2));
    return tensor;
}

/* The layout is that of the format's description: 8 bytes of length, JSON, data. */
ASSAY_TEST(a_file_as_the_format_describes_it_is_read)
{
    static const char header[] = "{\"__metadata__\":{\"from\":\"hand\"},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[4,10]},"
                                 "\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                 "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[4,4]}}   ";
    struct image image = make_image(header, 10);
    struct assay_safetensors file;
    CHECK_OK(assay_safetensors_parse(&file, image.bytes, image.size, "x", &err), err);
    CHECK_INT(file.n, 3);
    CHECK_TEXT(file.entries[0].name, "a");
    const struct assay_tensor *a = assay_safetensors_find(&file, "a"), *b = assay_safetensors_find(&file, "b");
    CHECK(a && a->type.rank == 0 && a->type.dtype == ASSAY_I32);
    CHECK_INT(assay_tensor_int(a, 0), 0x03020100);
    CHECK(b && b->type.rank == 2 && b->type.dims[1] == 3);
    CHECK_INT(assay_tensor_int(b, 5), 9);
    CHECK_INT(assay_tensor_count(assay_safetensors_find(&file, "none")), 0);
    CHECK(!assay_safetensors_find(&file, "c"));
    CHECK_INT(file.n_metadata, 1);
    CHECK_TEXT(file.metadata[0], "from");
    CHECK_TEXT(file.metadata[1], "hand");
    assay_safetensors_release(&file);
}

ASSAY_TEST(a_tensor_that_is_not_aligned_in_the_file_can_be_read)
{
    struct image image = make_image("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                    "\"b\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[1,17]}}",
                                    17);
    struct assay_safetensors file;
    CHECK_OK(assay_safetensors_parse(&file, image.bytes, image.size, "x", &err), err);
    const struct assay_tensor *b = assay_safetensors_find(&file, "b");
    CHECK((uintptr_t)b->data % sizeof(double) == 0);
    CHECK(memcmp(b->data, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16) == 0);
    assay_safetensors_release(&file);
}

ASSAY_TEST(what_is_written_is_read_back_for_every_dtype)
{
    struct assay_safetensors_entry entries[16] = {0};
    static const char *const metadata[] = {"format", "assay", "text", "line\n\"quoted\" é"};
    struct assay_arena arena;
    char *folder;
    size_t n = 0;
#define X(NAME, number, word, size, type)                                                                                        \
    entries[n].name = word;                                                                                                      \
    entries[n].tensor = counting(ASSAY_##NAME, 3 + number);                                                                      \
    n++;
    ASSAY_DTYPES(X)
#undef X
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *path = assay_path_join(&arena, folder, "all.safetensors");
    CHECK_OK(assay_safetensors_write(path, entries, n, metadata, 2, &err), err);
    struct assay_safetensors file;
    CHECK_OK(assay_safetensors_open(&file, path, &err), err);
    CHECK_INT(file.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct assay_tensor *read = assay_safetensors_find(&file, entries[i].name);
        CHECK(read && assay_type_equal(&read->type, &entries[i].tensor.type));
        CHECK(memcmp(read->data, entries[i].tensor.data, (size_t)assay_tensor_bytes(read)) == 0);
        CHECK(!read->buffer); /* borrowed from the map, so it was aligned */
    }
    CHECK_INT(file.n_metadata, 2);
    CHECK_TEXT(file.metadata[3], metadata[3]);
    assay_safetensors_release(&file);
    for (size_t i = 0; i < n; i++)
        assay_tensor_release(&entries[i].tensor);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_wrong_header_is_refused_with_the_tensor_at_fault)
{
    static const struct {
        const char *header, *part;
        enum assay_status status;
    } wrong[] = {
        {"[]", "does not begin with", ASSAY_INVALID},
        {"{\"a\":1}", "'a'", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", "line 1", ASSAY_INVALID},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "no dtype", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"X9\",\"shape\":[2],\"data_offsets\":[0,8]}}", "'X9'", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", "F8_E4M3", ASSAY_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "no shape", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "dimension 0", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "dimension 0", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "11 dimensions",
         ASSAY_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "data_offsets", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "no range", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "'a' lies", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "no range", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "8 bytes", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,8]}}", "8 bytes",
         ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         "'b' begins at byte 4", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         "gap", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,7]}}", "last 1 bytes", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"BOOL\",\"shape\":[8],\"data_offsets\":[0,8]}}", "neither 0 nor 1", ASSAY_INVALID},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         "duplicate", ASSAY_INVALID},
        {"{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}", "'k'", ASSAY_INVALID},
        {"{\"__metadata__\":3}", "__metadata__", ASSAY_INVALID},
    };
    for (size_t i = 0; i < ASSAY_COUNT(wrong); i++) {
        struct image image = make_image(wrong[i].header, 8);
        CHECK_INT(parse(&image), wrong[i].status);
        CHECK_CONTAINS(err.message, wrong[i].part);
    }
}

static const char small_header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                   "\"b\":{\"dtype\":\"I16\",\"shape\":[4],\"data_offsets\":[8,16]}}";

ASSAY_TEST(a_file_cut_anywhere_is_refused)
{
    struct image image = make_image(small_header, 16);
    CHECK_INT(parse(&image), ASSAY_OK);
    for (size_t size = 0; size < image.size; size++) {
        struct image cut = image;
        cut.size = size;
        CHECK_INT(parse(&cut), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "x.safetensors");
    }
}

/* Under the sanitizers: whatever bytes say, no access outside. */
ASSAY_TEST(mutated_files_are_read_or_refused)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 1, assay_rng_stream("mutations"));
    int n_refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct image image = make_image(small_header, 16);
        for (uint64_t k = 1 + assay_rng_below(&rng, 4); k > 0; k--)
            image.bytes[assay_rng_below(&rng, image.size)] =
                assay_rng_below(&rng, 2) ? (char)assay_rng_u32(&rng) : "0189[]{},:-\""[assay_rng_below(&rng, 12)];
        enum assay_status st = parse(&image);
        CHECK(st == ASSAY_OK || st == ASSAY_INVALID || st == ASSAY_UNSUPPORTED);
        CHECK(st == ASSAY_OK || err.message[0]);
        n_refused += st != ASSAY_OK;
    }
    CHECK(n_refused > 10000);
}

ASSAY_TEST(a_length_of_the_header_beyond_the_file_is_refused)
{
    struct image image = make_image(small_header, 16);
    memset(image.bytes, 0xff, 8);
    CHECK_INT(parse(&image), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "18446744073709551615");
}

ASSAY_TEST(two_tensors_of_one_name_are_not_written)
{
    struct assay_tensor tensor = counting(ASSAY_F32, 2);
    struct assay_safetensors_entry entries[] = {{"same", tensor}, {"same", tensor}};
    CHECK_INT(assay_safetensors_write("/dev/null", entries, 2, NULL, 0, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'same'");
    entries[1].name = "__metadata__";
    CHECK_INT(assay_safetensors_write("/dev/null", entries, 2, NULL, 0, &err), ASSAY_INVALID);
    entries[1].name = "\xff";
    CHECK_INT(assay_safetensors_write("/dev/null", entries, 2, NULL, 0, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "UTF-8");
    assay_tensor_release(&tensor);
}

ASSAY_TEST(a_full_disk_is_an_error)
{
    struct assay_tensor tensor = counting(ASSAY_F32, 100000);
    struct assay_safetensors_entry entry = {"a", tensor};
    if (!assay_fs_exists("/dev/full")) {
        assay_tensor_release(&tensor);
        SKIP("there is no /dev/full here");
    }
    CHECK_INT(assay_safetensors_write("/dev/full", &entry, 1, NULL, 0, &err), ASSAY_IO);
    assay_tensor_release(&tensor);
}

ASSAY_TEST(a_file_that_is_not_there_is_absent)
{
    struct assay_safetensors file;
    CHECK_INT(assay_safetensors_open(&file, "/nowhere/x.safetensors", &err), ASSAY_ABSENT);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_file_as_the_format_describes_it_is_read),
                ASSAY_TEST_ENTRY(a_tensor_that_is_not_aligned_in_the_file_can_be_read),
                ASSAY_TEST_ENTRY(what_is_written_is_read_back_for_every_dtype),
                ASSAY_TEST_ENTRY(a_wrong_header_is_refused_with_the_tensor_at_fault),
                ASSAY_TEST_ENTRY(a_file_cut_anywhere_is_refused), ASSAY_TEST_ENTRY(mutated_files_are_read_or_refused),
                ASSAY_TEST_ENTRY(a_length_of_the_header_beyond_the_file_is_refused),
                ASSAY_TEST_ENTRY(two_tensors_of_one_name_are_not_written), ASSAY_TEST_ENTRY(a_full_disk_is_an_error),
                ASSAY_TEST_ENTRY(a_file_that_is_not_there_is_absent))
