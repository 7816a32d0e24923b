/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: transforms of impulses and waves, known in closed form; windows by their formulas; the standard's mel example.
 */
#include "graph/ops/fixture.h"

ASSAY_TEST(dft_runs_along_any_axis_cut_or_padded)
{
    struct fixture f;
    fixture_init(&f, "DFT");
    fixture_input(&f, ASSAY_F32, "2,3,1", VALUES(1, 0, 0, 1, 1, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3,2", 1e-6, 1, 0, 1, 0, 1, 0, 3, 0, 0, 0, 0, 0);
    fixture_input(&f, ASSAY_I64, "", VALUES(1)); /* cut to one sample */
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,1,2", 1e-6, 1, 0, 1, 0);
    ((int64_t *)f.tensors[1].data)[0] = 4; /* padded with a zero */
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,4,2", 1e-6, 1, 0, 1, 0, 1, 0, 1, 0, 3, 0, 0, -1, 1, 0, 0, 1);
    fixture_int(&f, "onesided", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3,2", 1e-6, 1, 0, 1, 0, 1, 0, 3, 0, 0, -1, 1, 0);
    fixture_int(&f, "axis", 0);
    ((int64_t *)f.tensors[1].data)[0] = 2;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3,2", 1e-6, 2, 0, 1, 0, 1, 0, 0, 0, -1, 0, -1, 0);
    f.attrs[1].i = 2;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "real and imaginary");
    f.attrs[1].i = 1;
    ((int64_t *)f.tensors[1].data)[0] = 0;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 1 is 0");
    fixture_release(&f);
}

ASSAY_TEST(dft_takes_its_axis_as_an_input_too)
{
    struct fixture f;
    fixture_init(&f, "DFT");
    fixture_input(&f, ASSAY_F64, "2,1,1", VALUES(3, 1));
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_I64, "", VALUES(-3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,1,2", 0, 4, 0, 2, 0);
    ((int64_t *)f.tensors[2].data)[0] = INT64_MIN;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "does not exist");
    fixture_release(&f);
}

ASSAY_TEST(inverse_dft_undoes_the_forward_one)
{
    double values[2 * 5 * 2];
    for (int i = 0; i < 20; i++)
        values[i] = (i * 7 + 3) % 11 - 5;
    struct fixture f, g;
    fixture_init(&f, "DFT");
    fixture_input(&f, ASSAY_F64, "2,5,2", values);
    CHECK_OK(fixture_run(&f), f.err);
    fixture_init(&g, "DFT");
    fixture_input_bytes(&g, ASSAY_F64, "2,5,2", f.results[0].data);
    fixture_int(&g, "inverse", 1);
    CHECK_OK(fixture_run(&g), g.err);
    fixture_check(&g, 0, ASSAY_F64, "2,5,2", 1e-13, values, 20, __FILE__, __LINE__);
    fixture_int(&g, "onesided", 1);
    CHECK_FAILS(fixture_run(&g), ASSAY_UNSUPPORTED, g, "inverse one-sided");
    fixture_int(&f, "onesided", 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "complex");
    fixture_release(&f);
    fixture_release(&g);
}

ASSAY_TEST(stft_transforms_overlapping_windowed_frames)
{
    struct fixture f;
    fixture_init(&f, "STFT");
    fixture_input(&f, ASSAY_F32, "1,5,1", VALUES(1, 2, 3, 4, 5));
    fixture_input(&f, ASSAY_I64, "", VALUES(3));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 0.5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2,2,2", 1e-6, 2, 0, 0, 0, 6.5, 0, 1.5, 0);
    fixture_input(&f, ASSAY_I64, "", VALUES(3));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "the frame length");
    ((int64_t *)f.tensors[1].data)[0] = 0;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 1 is 0");
    fixture_release(&f);

    fixture_init(&f, "STFT");
    fixture_input(&f, ASSAY_F32, "1,5,1", VALUES(1, 2, 3, 4, 5));
    fixture_input(&f, ASSAY_I64, "", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "neither a window nor a frame length");
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_I64, "", VALUES(6));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "longer than the signal");
    fixture_release(&f);
}

ASSAY_TEST(windows_follow_their_formulas)
{
    static const struct {
        const char *op;
        int64_t periodic;
        double wanted[4];
    } cases[] = {{"HannWindow", 1, {0, 0.5, 1, 0.5}},
                 {"HannWindow", 0, {0, 0.75, 0.75, 0}},
                 {"HammingWindow", 1, {4 / 46., 25 / 46., 1, 25 / 46.}},
                 {"BlackmanWindow", 1, {0, 0.34, 1, 0.34}}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, cases[i].op);
        fixture_input(&f, ASSAY_I32, "", VALUES(4));
        fixture_int(&f, "periodic", cases[i].periodic);
        fixture_int(&f, "output_datatype", ASSAY_F64);
        CHECK_OK(fixture_run(&f), f.err);
        fixture_check(&f, 0, ASSAY_F64, "4", 1e-15, cases[i].wanted, 4, __FILE__, __LINE__);
        f.attrs[1].i = ASSAY_F16;
        CHECK_OK(fixture_run(&f), f.err);
        fixture_check(&f, 0, ASSAY_F16, "4", 5e-4, cases[i].wanted, 4, __FILE__, __LINE__);
        ((int32_t *)f.tensors[0].data)[0] = -1;
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 0 is -1");
        fixture_release(&f);
    }
    struct fixture f;
    fixture_init(&f, "HannWindow");
    fixture_input(&f, ASSAY_I64, "", VALUES(1));
    fixture_int(&f, "periodic", 0);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1", 0, 1);
    fixture_release(&f);
}

static void mel(struct fixture *f, double low, double high)
{
    fixture_init(f, "MelWeightMatrix");
    fixture_input(f, ASSAY_I32, "", VALUES(8));
    fixture_input(f, ASSAY_I32, "", VALUES(16));
    fixture_input(f, ASSAY_I32, "", VALUES(8192));
    fixture_input(f, ASSAY_F32, "", &low);
    fixture_input(f, ASSAY_F32, "", &high);
}

ASSAY_TEST(mel_weights_are_those_of_the_standards_example)
{
    struct fixture f;
    mel(&f, 0, 4096);
    CHECK_OK(fixture_run(&f), f.err);
    static const int ones[][2] = {{0, 0}, {0, 1}, {1, 2}, {1, 3}, {2, 4}, {3, 5}, {4, 6}, {5, 7}};
    double wanted[72] = {0};
    for (size_t i = 0; i < 8; i++)
        wanted[ones[i][0] * 8 + ones[i][1]] = 1;
    fixture_check(&f, 0, ASSAY_F32, "9,8", 0, wanted, 72, __FILE__, __LINE__);
    fixture_release(&f);
}

ASSAY_TEST(mel_bands_beyond_the_spectrum_are_refused)
{
    struct fixture f;
    mel(&f, 0, 1e6);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "beyond the spectrum");
    fixture_release(&f);
    mel(&f, 100, 100);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "enclose no band");
    fixture_release(&f);
    mel(&f, NAN, 100);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "enclose no band");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(dft_runs_along_any_axis_cut_or_padded), ASSAY_TEST_ENTRY(dft_takes_its_axis_as_an_input_too),
                ASSAY_TEST_ENTRY(inverse_dft_undoes_the_forward_one),
                ASSAY_TEST_ENTRY(stft_transforms_overlapping_windowed_frames), ASSAY_TEST_ENTRY(windows_follow_their_formulas),
                ASSAY_TEST_ENTRY(mel_weights_are_those_of_the_standards_example),
                ASSAY_TEST_ENTRY(mel_bands_beyond_the_spectrum_are_refused))
