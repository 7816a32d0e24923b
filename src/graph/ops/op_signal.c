/* SPDX-License-Identifier: Apache-2.0 */
/* Signal processing: DFT, STFT, the windows, MelWeightMatrix. All computed in double, then rounded to the output's dtype. */
#include "graph/ops/fourier.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>

/* A scalar integer input; *known is false if its contents are not. */
static enum assay_status read_int(const struct assay_op_call *call, int i, int64_t low, int64_t *value, bool *known,
                                  struct assay_error *err)
{
    const struct assay_tensor *tensor = assay_rule_data(call, i);
    enum assay_status st = assay_rule_dtype(call, i, ASSAY_SET_INDEX, err);
    *known = tensor != NULL;
    if (st || !tensor)
        return st;
    if (assay_tensor_count(tensor) != 1)
        return assay_error_set(err, ASSAY_INVALID, "input %d must be a scalar", i);
    *value = assay_tensor_int(tensor, 0);
    if (*value < low)
        return assay_error_set(err, ASSAY_INVALID, "input %d is %" PRId64, i, *value);
    return ASSAY_OK;
}

/* Result 0 becomes `values` (f64, given up) in the dtype of the output. */
static enum assay_status settle(struct assay_op_call *call, struct assay_tensor *values, struct assay_error *err)
{
    struct assay_tensor out;
    enum assay_status st = assay_tensor_convert(&out, values, call->outputs[0].dtype, err);
    assay_tensor_release(values);
    if (st)
        return st;
    assay_tensor_release(&call->results[0]);
    call->results[0] = out;
    return ASSAY_OK;
}

static enum assay_status alloc_values(const struct assay_op_call *call, struct assay_tensor *values, struct assay_error *err)
{
    struct assay_type type = call->outputs[0];
    type.dtype = ASSAY_F64;
    return assay_tensor_alloc(values, &type, err);
}

/* ---- DFT */

/* Number of frequencies of a transform of n samples. */
static int64_t n_bins(int64_t n, bool onesided) { return onesided && n >= 0 ? n / 2 + 1 : n; }

/* The last dimension says whether the numbers are real (1) or complex (2); real ones only may be one-sided. */
static enum assay_status check_parts(int64_t n_parts, bool onesided, struct assay_error *err)
{
    if (n_parts != -1 && n_parts != 1 && n_parts != 2)
        return assay_error_set(err, ASSAY_INVALID, "the last dimension is %" PRId64 ", neither 1 (real) nor 2 (complex)",
                               n_parts);
    if (n_parts == 2 && onesided)
        return assay_error_set(err, ASSAY_INVALID, "a transform of complex numbers has no one-sided form");
    return ASSAY_OK;
}

/* The axis: an attribute (opset 17), or input 2 (opset 20). */
static enum assay_status dft_axis(const struct assay_op_call *call, int *axis, bool *known, struct assay_error *err)
{
    int64_t wanted = assay_node_int(call->node, "axis", call->opset >= 20 ? -2 : 1);
    enum assay_status st = ASSAY_OK;
    *known = true;
    if (assay_rule_has_input(call, 2))
        st = read_int(call, 2, INT64_MIN, &wanted, known, err);
    int rank = call->inputs[0].rank;
    *known &= rank >= 0;
    if (!st && *known)
        st = assay_rule_axis(wanted, rank, axis, err);
    if (!st && *known && *axis == rank - 1)
        st = assay_error_set(err, ASSAY_INVALID, "the axis is that of the real and imaginary parts");
    return st;
}

static enum assay_status infer_dft(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    bool onesided = assay_node_int(call->node, "onesided", 0) != 0, known;
    if (onesided && assay_node_int(call->node, "inverse", 0))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "an inverse one-sided transform is not supported");
    int axis;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (!st)
        st = dft_axis(call, &axis, &known, err);
    if (st || out->rank < 0)
        return st;
    int last = out->rank - 1;
    st = check_parts(out->dims[last], onesided, err);
    out->dims[last] = 2;
    if (!known) {
        for (int d = 0; d < last; d++)
            out->dims[d] = -1;
        return st;
    }
    int64_t n = out->dims[axis];
    if (!st && assay_rule_has_input(call, 1)) {
        n = -1;
        st = read_int(call, 1, 1, &n, &known, err);
    }
    out->dims[axis] = n_bins(n, onesided);
    return st;
}

/* Lines of samples: `to` gets n complex numbers from n_in real or complex ones (cut or followed by zeros), `step` apart. */
static void read_line(double *to, int64_t n, const double *from, int64_t n_in, int64_t step, int64_t n_parts)
{
    memset(to, 0, 2 * (size_t)n * sizeof *to);
    for (int64_t i = 0; i < n && i < n_in; i++)
        for (int64_t k = 0; k < n_parts; k++)
            to[2 * i + k] = from[i * step + k];
}

static enum assay_status run_dft(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *type = &call->outputs[0];
    if (assay_type_count(type) == 0)
        return ASSAY_OK;
    const struct assay_type *in_type = &call->data[0]->type;
    int axis, rank = type->rank;
    bool known, inverse = assay_node_int(call->node, "inverse", 0) != 0;
    int64_t n = 0;
    enum assay_status st = dft_axis(call, &axis, &known, err);
    if (!st) {
        n = in_type->dims[axis];
        if (assay_rule_has_input(call, 1))
            st = read_int(call, 1, 1, &n, &known, err);
    }
    struct assay_tensor in = {0}, values = {0}, line = {0};
    struct assay_fourier fourier = {0};
    if (!st)
        st = assay_tensor_convert(&in, call->data[0], ASSAY_F64, err);
    if (!st)
        st = alloc_values(call, &values, err);
    if (!st)
        st = assay_fourier_init(&fourier, n, err);
    struct assay_type line_type = assay_type_make(ASSAY_F64, 2, (int64_t[]){n, 2});
    if (!st)
        st = assay_tensor_alloc(&line, &line_type, err);
    if (st)
        goto done;
    int64_t n_in = in_type->dims[axis], n_parts = in_type->dims[rank - 1], n_out = type->dims[axis];
    int64_t outer = assay_dims_product(type, 0, axis), inner = assay_dims_product(type, axis + 1, rank - 1);
    for (int64_t i = 0; i < outer; i++)
        for (int64_t k = 0; k < inner; k++) {
            const double *from = (const double *)in.data + (i * n_in * inner + k) * n_parts;
            double *to = (double *)values.data + (i * n_out * inner + k) * 2;
            read_line(line.data, n, from, n_in, inner * n_parts, n_parts);
            assay_fourier_run(&fourier, line.data, inverse);
            for (int64_t f = 0; f < n_out; f++)
                memcpy(to + f * inner * 2, (const double *)line.data + 2 * f, 2 * sizeof(double));
        }
    st = settle(call, &values, err);
done:
    assay_tensor_release(&in);
    assay_tensor_release(&values);
    assay_tensor_release(&line);
    assay_fourier_release(&fourier);
    return st;
}

/* The usual count for a Fourier transform: 5 n log2 n. */
static double fourier_flops(double n) { return n > 1 ? 5 * n * log2(n) : 0; }

static void cost_dft(const struct assay_op_call *call, struct assay_cost *cost)
{
    int axis;
    bool known;
    if (dft_axis(call, &axis, &known, NULL) || !known || call->outputs[0].dims[axis] < 1)
        return;
    double n = (double)call->outputs[0].dims[axis];
    double n_lines = (double)assay_type_count(&call->outputs[0]) / 2 / n;
    if (assay_node_int(call->node, "onesided", 0))
        n = 2 * (n - 1);
    cost->flops = n_lines * fourier_flops(n);
}

/* ---- STFT */

struct stft {
    int64_t step, length; /* -1 if not known */
    bool onesided;
};

static enum assay_status read_stft(const struct assay_op_call *call, struct stft *stft, struct assay_error *err)
{
    *stft = (struct stft){-1, -1, assay_node_int(call->node, "onesided", 1) != 0};
    bool known;
    enum assay_status st = read_int(call, 1, 1, &stft->step, &known, err);
    if (!st && assay_rule_has_input(call, 3))
        st = read_int(call, 3, 1, &stft->length, &known, err);
    if (st)
        return st;
    if (!assay_rule_has_input(call, 2)) {
        if (!assay_rule_has_input(call, 3))
            return assay_error_set(err, ASSAY_INVALID, "neither a window nor a frame length is given");
        return ASSAY_OK;
    }
    st = assay_rule_rank(call, 2, 1, 1, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 2, err);
    if (!st && call->inputs[2].rank == 1)
        st = assay_rule_merge_dim(&stft->length, call->inputs[2].dims[0], "the frame length", err);
    if (!st && stft->length == 0)
        return assay_error_set(err, ASSAY_INVALID, "the window is empty");
    return st;
}

static enum assay_status infer_stft(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct stft stft;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_rank(call, 0, 3, 3, err);
    if (!st)
        st = read_stft(call, &stft, err);
    if (!st && in->rank == 3)
        st = check_parts(in->dims[2], stft.onesided, err);
    int64_t dims[4] = {-1, -1, -1, 2};
    if (!st && in->rank == 3) {
        dims[0] = in->dims[0];
        if (in->dims[1] >= 0 && stft.length > in->dims[1])
            return assay_error_set(err, ASSAY_INVALID, "a frame of %" PRId64 " is longer than the signal of %" PRId64,
                                   stft.length, in->dims[1]);
        if (in->dims[1] >= 0 && stft.length > 0 && stft.step > 0)
            dims[1] = (in->dims[1] - stft.length) / stft.step + 1;
    }
    if (!st)
        dims[2] = n_bins(stft.length, stft.onesided);
    call->outputs[0] = assay_type_make(in->dtype, 4, dims);
    return st;
}

static enum assay_status run_stft(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *type = &call->outputs[0], *in_type = &call->data[0]->type;
    const struct assay_tensor *given = assay_rule_data(call, 2);
    struct assay_tensor in = {0}, values = {0}, line = {0}, window = {0};
    struct assay_fourier fourier = {0};
    struct stft stft;
    enum assay_status st = read_stft(call, &stft, err);
    if (st || assay_type_count(type) == 0)
        return st;
    struct assay_type line_type = assay_type_make(ASSAY_F64, 2, (int64_t[]){stft.length, 2});
    st = assay_tensor_convert(&in, call->data[0], ASSAY_F64, err);
    if (!st && given)
        st = assay_tensor_convert(&window, given, ASSAY_F64, err);
    if (!st)
        st = alloc_values(call, &values, err);
    if (!st)
        st = assay_fourier_init(&fourier, stft.length, err);
    if (!st)
        st = assay_tensor_alloc(&line, &line_type, err);
    if (st)
        goto done;
    int64_t n_frames = type->dims[1], n_out = type->dims[2], n_parts = in_type->dims[2], n_in = in_type->dims[1];
    double *numbers = line.data, *to = values.data;
    const double *weights = window.data;
    for (int64_t i = 0; i < type->dims[0] * n_frames; i++, to += 2 * n_out) {
        const double *from = (const double *)in.data + (i / n_frames * n_in + i % n_frames * stft.step) * n_parts;
        read_line(numbers, stft.length, from, stft.length, n_parts, n_parts);
        for (int64_t k = 0; weights && k < stft.length; k++) {
            numbers[2 * k] *= weights[k];
            numbers[2 * k + 1] *= weights[k];
        }
        assay_fourier_run(&fourier, numbers, false);
        memcpy(to, numbers, 2 * (size_t)n_out * sizeof *to);
    }
    st = settle(call, &values, err);
done:
    assay_tensor_release(&in);
    assay_tensor_release(&window);
    assay_tensor_release(&values);
    assay_tensor_release(&line);
    assay_fourier_release(&fourier);
    return st;
}

static void cost_stft(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct stft stft;
    if (read_stft(call, &stft, NULL) || stft.length < 1 || assay_type_count(&call->outputs[0]) < 0)
        return;
    double n_frames = (double)call->outputs[0].dims[0] * (double)call->outputs[0].dims[1];
    cost->flops = n_frames * (fourier_flops((double)stft.length) + (assay_rule_has_input(call, 2) ? (double)stft.length : 0));
}

/* ---- Windows: a[0] - a[1] cos(2πi/n) + a[2] cos(4πi/n) */

static enum assay_status infer_window(struct assay_op_call *call, struct assay_error *err)
{
    int64_t n = -1;
    bool known;
    enum assay_dtype dtype = ASSAY_NO_DTYPE;
    enum assay_status st = read_int(call, 0, 0, &n, &known, err);
    if (!st)
        st = assay_rule_dtype_attr(call, "output_datatype", ASSAY_F32, ASSAY_SET_NUMBER, &dtype, err);
    call->outputs[0] = assay_type_make(dtype, 1, &n);
    return st;
}

static enum assay_status run_window(struct assay_op_call *call, const double a[3], struct assay_error *err)
{
    struct assay_tensor values;
    enum assay_status st = alloc_values(call, &values, err);
    if (st)
        return st;
    int64_t size = call->outputs[0].dims[0], n = assay_node_int(call->node, "periodic", 1) ? size : size - 1;
    double *to = values.data;
    for (int64_t i = 0; i < size; i++) {
        /* A symmetric window of one point is its middle. */
        double angle = n > 0 ? 2 * M_PI * (double)i / (double)n : M_PI;
        to[i] = a[0] - a[1] * cos(angle) + a[2] * cos(2 * angle);
    }
    return settle(call, &values, err);
}

static enum assay_status run_hann(struct assay_op_call *call, struct assay_error *err)
{
    return run_window(call, (const double[]){0.5, 0.5, 0}, err);
}

static enum assay_status run_hamming(struct assay_op_call *call, struct assay_error *err)
{
    return run_window(call, (const double[]){25. / 46, 21. / 46, 0}, err);
}

static enum assay_status run_blackman(struct assay_op_call *call, struct assay_error *err)
{
    return run_window(call, (const double[]){0.42, 0.5, 0.08}, err);
}

/* ---- MelWeightMatrix: inputs number of mel bins, DFT length, sample rate, lower and upper edge in hertz */

static enum assay_status infer_mel(struct assay_op_call *call, struct assay_error *err)
{
    int64_t dims[2] = {-1, -1}, n_mel, length, rate;
    bool known;
    enum assay_dtype dtype = ASSAY_NO_DTYPE;
    enum assay_status st = assay_rule_dtype_attr(call, "output_datatype", ASSAY_F32, ASSAY_SET_NUMBER, &dtype, err);
    if (!st)
        st = read_int(call, 0, 1, &n_mel, &known, err);
    if (!st && known)
        dims[1] = n_mel;
    if (!st)
        st = read_int(call, 1, 1, &length, &known, err);
    if (!st && known)
        dims[0] = length / 2 + 1;
    if (!st)
        st = read_int(call, 2, 1, &rate, &known, err);
    for (int i = 3; i < 5 && !st; i++) {
        st = assay_rule_dtype(call, i, ASSAY_SET_FLOAT, err);
        const struct assay_tensor *edge = assay_rule_data(call, i);
        if (!st && edge && assay_tensor_count(edge) != 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d must be a scalar", i);
    }
    call->outputs[0] = assay_type_make(dtype, 2, dims);
    return st;
}

static double hertz_to_mel(double hertz) { return 2595 * log10(1 + hertz / 700); }
static double mel_to_hertz(double mel) { return 700 * (pow(10, mel / 2595) - 1); }

/* The triangles of the standard's reference: edges equally spaced in mel, rounded down to bins of the spectrum. */
static enum assay_status fill_mel(struct assay_op_call *call, double *to, struct assay_error *err)
{
    int64_t n_bins_all = call->outputs[0].dims[0], n_mel = call->outputs[0].dims[1];
    double length = (double)assay_tensor_int(call->data[1], 0), rate = (double)assay_tensor_int(call->data[2], 0);
    double low = assay_tensor_real(call->data[3], 0), high = assay_tensor_real(call->data[4], 0);
    if (!(low >= 0 && low < high && isfinite(high)))
        return assay_error_set(err, ASSAY_INVALID, "edges of %g and %g Hz enclose no band", low, high);
    double low_mel = hertz_to_mel(low), step = (hertz_to_mel(high) - low_mel) / (double)(n_mel + 2);
    for (int64_t i = 0; i < n_mel; i++) {
        double place[3]; /* bins of the left edge, the centre, the right edge */
        for (int k = 0; k < 3; k++)
            place[k] = floor((length + 1) * mel_to_hertz(low_mel + step * (double)(i + k)) / rate);
        if (!(place[2] < (double)n_bins_all + 1 && place[1] < (double)n_bins_all))
            return assay_error_set(err, ASSAY_INVALID, "an upper edge of %g Hz lies beyond the spectrum", high);
        int64_t left = (int64_t)place[0], centre = (int64_t)place[1], right = (int64_t)place[2];
        if (centre == left)
            to[centre * n_mel + i] = 1;
        for (int64_t j = left; j <= centre && centre > left; j++)
            to[j * n_mel + i] = (double)(j - left) / (double)(centre - left);
        for (int64_t j = centre; j < right; j++)
            to[j * n_mel + i] = (double)(right - j) / (double)(right - centre);
    }
    return ASSAY_OK;
}

static enum assay_status run_mel(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor values;
    enum assay_status st = alloc_values(call, &values, err);
    if (st)
        return st;
    memset(values.data, 0, (size_t)assay_tensor_bytes(&values));
    st = fill_mel(call, values.data, err);
    if (!st)
        return settle(call, &values, err);
    assay_tensor_release(&values);
    return st;
}

const struct assay_op assay_ops_signal[] = {
    {"DFT", "", 1, 3, ASSAY_OP_VIA_F32, infer_dft, run_dft, cost_dft},
    {"STFT", "", 2, 4, ASSAY_OP_VIA_F32, infer_stft, run_stft, cost_stft},
    {"HannWindow", "", 1, 1, 0, infer_window, run_hann, assay_cost_per_output},
    {"HammingWindow", "", 1, 1, 0, infer_window, run_hamming, assay_cost_per_output},
    {"BlackmanWindow", "", 1, 1, 0, infer_window, run_blackman, assay_cost_per_output},
    {"MelWeightMatrix", "", 5, 5, 0, infer_mel, run_mel, NULL},
    {0},
};
