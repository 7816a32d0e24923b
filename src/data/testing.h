/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of data/: a folder of preprocessing fixtures, whose arrays are safetensors files of known good form. */
#ifndef ASSAY_DATA_TESTING_H
#define ASSAY_DATA_TESTING_H

#include "base/fs.h"
#include "base/json.h"
#include "base/test.h"
#include "graph/tensor.h"

struct testing_arrays {
    struct assay_map map;
    json_t *header;
    uint64_t data_at;
};

struct testing_fixture {
    json_t *config;
    struct testing_arrays inputs, outputs;
};

static void testing_arrays_open(struct testing_arrays *arrays, const char *path)
{
    struct assay_error err;
    uint64_t n = 0;
    CHECK_OK(assay_map_open(&arrays->map, path, &err), err);
    memcpy(&n, arrays->map.data, sizeof n);
    CHECK(n < arrays->map.size_bytes - 8);
    CHECK_OK(assay_json_parse((const char *)arrays->map.data + 8, n, path, &arrays->header, &err), err);
    arrays->data_at = 8 + n;
}

/* A copy, so that elements are aligned; release it. */
static struct assay_tensor testing_array(const struct testing_arrays *arrays, const char *name)
{
    static const struct {
        const char *word;
        enum assay_dtype dtype;
    } words[] = {{"F32", ASSAY_F32}, {"I64", ASSAY_I64}, {"U8", ASSAY_U8}, {"BOOL", ASSAY_BOOL}};
    struct assay_tensor tensor = {0};
    struct assay_error err;
    const json_t *entry = json_object_get(arrays->header, name), *shape = json_object_get(entry, "shape");
    if (!entry)
        fprintf(stderr, "no array named %s\n", name);
    CHECK(entry != NULL);
    struct assay_type type = {0};
    for (size_t i = 0; i < ASSAY_COUNT(words); i++)
        if (strcmp(json_string_value(json_object_get(entry, "dtype")), words[i].word) == 0)
            type.dtype = words[i].dtype;
    type.rank = (int)json_array_size(shape);
    for (int i = 0; i < type.rank; i++)
        type.dims[i] = json_integer_value(json_array_get(shape, (size_t)i));
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &err), err);
    size_t first = (size_t)json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
    CHECK(arrays->data_at + first + (size_t)assay_tensor_bytes(&tensor) <= arrays->map.size_bytes);
    memcpy(tensor.data, arrays->map.data + arrays->data_at + first, (size_t)assay_tensor_bytes(&tensor));
    return tensor;
}

static void testing_fixture_open(struct testing_fixture *fixture, const char *name)
{
    struct assay_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s/../shared/fixtures/%s", ASSAY_SOURCE_FOLDER, name);
    if (!assay_fs_is_folder(path))
        SKIP("%s is not here", path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/config.json");
    CHECK_OK(assay_json_read(path, &fixture->config, &err), err);
    snprintf(path + n, sizeof path - n, "/inputs.safetensors");
    testing_arrays_open(&fixture->inputs, path);
    snprintf(path + n, sizeof path - n, "/outputs.safetensors");
    testing_arrays_open(&fixture->outputs, path);
}

static void testing_fixture_release(struct testing_fixture *fixture)
{
    json_decref(fixture->config);
    json_decref(fixture->inputs.header);
    json_decref(fixture->outputs.header);
    assay_map_release(&fixture->inputs.map);
    assay_map_release(&fixture->outputs.map);
}

/* The array `name` of the outputs equals `got` within `tolerance`. */
static void testing_expect(const struct testing_fixture *fixture, const char *name, const struct assay_tensor *got,
                           double tolerance)
{
    struct assay_tensor wanted = testing_array(&fixture->outputs, name);
    struct assay_difference d = assay_tensor_compare(got, &wanted, tolerance, 0);
    if (!d.same_type || d.n_wrong)
        fprintf(stderr, "%s: largest difference %g at %lld\n", name, d.max_abs, (long long)d.index);
    CHECK(d.same_type);
    CHECK_INT(d.n_wrong, 0);
    assay_tensor_release(&wanted);
}

#endif
