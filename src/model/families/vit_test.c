/* SPDX-License-Identifier: Apache-2.0 */
/* ViT by what must be equal, with the same random weights. (Numbers of PyTorch are compared by `assay check`.) */
#include "model/families/testing.h"

enum { SIDE = 8, N_PIXELS = 3 * SIDE * SIDE, N_PATCHES = 4, MOST = N_PIXELS };

static const double different = 1e-3;

struct given {
    float pixels[N_PIXELS];
    bool masked[N_PATCHES];
};

static void set(const void *context, const char *name, struct assay_tensor *input)
{
    const struct given *g = context;
    struct assay_type image = assay_type_make(ASSAY_F32, 4, (const int64_t[]){1, 3, SIDE, SIDE});
    struct assay_type patches = assay_type_make(ASSAY_BOOL, 2, (const int64_t[]){1, N_PATCHES});
    if (strcmp(name, "pixel_values") == 0)
        assay_tensor_borrow(input, &image, g->pixels);
    else
        assay_tensor_borrow(input, &patches, g->masked);
}

static struct given picture(double frequency)
{
    struct given g = {0};
    for (int i = 0; i < N_PIXELS; i++)
        g.pixels[i] = (float)sin(frequency * i);
    return g;
}

static int run(const char *architecture, const char *flag, const struct given *g, const char *output, double *numbers)
{
    static const char *const inputs[] = {"pixel_values", "bool_masked_pos"};
    bool draws = strcmp(architecture, "ViTForMaskedImageModeling") == 0;
    const struct assay_model_options options = {.seed = 2,
                                                .inputs = inputs,
                                                .n_inputs = draws ? 2 : 1,
                                                .outputs = &output,
                                                .n_outputs = 1,
                                                .flags = &flag,
                                                .n_flags = flag != NULL};
    struct assay_tensor result;
    char text[400];
    snprintf(text, sizeof text,
             "{\"model_type\": \"vit\", \"architectures\": [\"%s\"], \"hidden_size\": 8, \"num_attention_heads\": 2,"
             " \"num_hidden_layers\": 1, \"intermediate_size\": 12, \"image_size\": 8, \"patch_size\": 4,"
             " \"encoder_stride\": 4, \"num_labels\": 3}",
             architecture);
    testing_output(text, &options, set, g, output, &result);
    int n = (int)assay_tensor_count(&result);
    CHECK(n <= MOST);
    for (int i = 0; i < n; i++)
        numbers[i] = assay_tensor_real(&result, i);
    assay_tensor_release(&result);
    return n;
}

ASSAY_TEST(of_masked_patches_the_pixels_do_not_matter)
{
    static const char *const name = "ViTForMaskedImageModeling";
    double a[MOST], b[MOST];
    struct given one = picture(0.3), other = picture(0.7);
    CHECK_INT(run(name, NULL, &one, "reconstruction", a), N_PIXELS);
    run(name, NULL, &other, "reconstruction", b);
    CHECK(testing_distance(a, b, N_PIXELS) > different);
    for (int i = 0; i < N_PATCHES; i++)
        one.masked[i] = other.masked[i] = true;
    run(name, NULL, &one, "reconstruction", a);
    run(name, NULL, &other, "reconstruction", b);
    CHECK(testing_distance(a, b, N_PIXELS) == 0);
}

/* The mean of |image - drawn| over the masked patch, by the formula. */
ASSAY_TEST(the_loss_is_of_masked_patches_alone)
{
    static const char *const name = "ViTForMaskedImageModeling";
    double drawn[MOST], loss[1], sum = 0;
    struct given g = picture(0.3);
    g.masked[1] = true; /* rows 0 to 3, columns 4 to 7 */
    run(name, NULL, &g, "reconstruction", drawn);
    CHECK_INT(run(name, NULL, &g, "loss", loss), 1);
    for (int channel = 0; channel < 3; channel++)
        for (int y = 0; y < 4; y++)
            for (int x = 4; x < 8; x++) {
                int i = (channel * SIDE + y) * SIDE + x;
                sum += fabs(g.pixels[i] - drawn[i]);
            }
    CHECK_NEAR(loss[0], sum / (16 + 1e-5) / 3, 1e-5);
}

ASSAY_TEST(interpolation_leaves_images_of_the_trained_size_as_they_are)
{
    double a[MOST], b[MOST];
    struct given g = picture(0.3);
    CHECK_INT(run("ViTForImageClassification", NULL, &g, "logits", a), 3);
    CHECK_INT(run("ViTForImageClassification", "interpolate_pos_encoding", &g, "logits", b), 3);
    CHECK(testing_distance(a, b, 3) < 1e-6);
}

ASSAY_TEST(patches_that_make_no_square_cannot_be_drawn)
{
    testing_refusal("{\"model_type\": \"vit\", \"architectures\": [\"ViTForMaskedImageModeling\"], \"image_size\": [32, 16]}",
                    "no square");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(of_masked_patches_the_pixels_do_not_matter),
                ASSAY_TEST_ENTRY(the_loss_is_of_masked_patches_alone),
                ASSAY_TEST_ENTRY(interpolation_leaves_images_of_the_trained_size_as_they_are),
                ASSAY_TEST_ENTRY(patches_that_make_no_square_cannot_be_drawn))
