/* SPDX-License-Identifier: Apache-2.0 */
/* See cell.h. The equations are those of the standard's RNN, GRU and LSTM. */
#include "graph/ops/cell.h"

#include <math.h>
#include <strings.h>

/* How many of alpha and beta a function takes from the node's lists, and what they are where the lists end. NaN = the standard
 * does not say. */
struct activation_word {
    const char *word;
    enum assay_activation_kind kind;
    bool has_alpha, has_beta;
    double alpha, beta;
};
static const struct activation_word activation_words[] = {
    {"Relu", ASSAY_RELU, false, false, 0, 0},
    {"Tanh", ASSAY_TANH, false, false, 0, 0},
    {"Sigmoid", ASSAY_SIGMOID, false, false, 0, 0},
    {"Affine", ASSAY_AFFINE, true, true, NAN, NAN},
    {"LeakyRelu", ASSAY_LEAKY_RELU, true, false, 0.01F, 0},
    {"ThresholdedRelu", ASSAY_THRESHOLDED_RELU, true, false, NAN, 0},
    {"ScaledTanh", ASSAY_SCALED_TANH, true, true, NAN, NAN},
    {"HardSigmoid", ASSAY_HARD_SIGMOID, true, true, 0.2F, 0.5},
    {"Elu", ASSAY_ELU, true, false, 1, 0},
    {"Softsign", ASSAY_SOFTSIGN, false, false, 0, 0},
    {"Softplus", ASSAY_SOFTPLUS, false, false, 0, 0},
};

static const struct activation_word *find_word(const char *word)
{
    for (size_t i = 0; i < ASSAY_COUNT(activation_words); i++)
        if (strcasecmp(activation_words[i].word, word) == 0)
            return &activation_words[i];
    return NULL;
}

enum assay_status assay_cell_read_activations(struct assay_cell *cell, const struct assay_node *node, int n, int direction,
                                              int n_directions, struct assay_error *err)
{
    static const char *const usual[2][ASSAY_CELL_ACTIVATIONS] = {{"Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const struct assay_attr *words = assay_node_attr(node, "activations");
    size_t n_alphas, n_betas, next_alpha = 0, next_beta = 0;
    const float *alphas = assay_node_floats(node, "activation_alpha", &n_alphas);
    const float *betas = assay_node_floats(node, "activation_beta", &n_betas);
    if (words && words->kind != ASSAY_ATTR_STRINGS)
        words = NULL;
    if (words && words->n < (size_t)(n * n_directions))
        return assay_error_set(err, ASSAY_INVALID, "there are %zu activations where %d are needed", words->n, n * n_directions);
    for (int i = 0; i < n * (direction + 1); i++) {
        const char *given = words ? words->strings[i] : usual[n > 1][i % n];
        const struct activation_word *word = find_word(given);
        if (!word)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "activation '%.40s' is not supported", given);
        struct assay_activation a = {word->kind, word->alpha, word->beta};
        if (word->has_alpha && next_alpha < n_alphas)
            a.alpha = (double)alphas[next_alpha++];
        if (word->has_beta && next_beta < n_betas)
            a.beta = (double)betas[next_beta++];
        if (isnan(a.alpha) || isnan(a.beta))
            return assay_error_set(err, ASSAY_UNSUPPORTED,
                                   "activation %s without activation_alpha or activation_beta is not supported: implementations "
                                   "differ on the defaults",
                                   word->word);
        cell->activation[i % n] = a;
    }
    return ASSAY_OK;
}

double assay_cell_activate(const struct assay_cell *cell, int i, double x)
{
    const struct assay_activation *a = &cell->activation[i];
    if (x > cell->clip)
        x = cell->clip;
    if (x < -cell->clip)
        x = -cell->clip;
    switch (a->kind) {
    case ASSAY_RELU:
        return x < 0 ? 0 : x;
    case ASSAY_TANH:
        return tanh(x);
    case ASSAY_SIGMOID:
        return 1 / (1 + exp(-x));
    case ASSAY_AFFINE:
        return a->alpha * x + a->beta;
    case ASSAY_LEAKY_RELU:
        return x < 0 ? a->alpha * x : x;
    case ASSAY_THRESHOLDED_RELU:
        return x < a->alpha ? 0 : x;
    case ASSAY_SCALED_TANH:
        return a->alpha * tanh(a->beta * x);
    case ASSAY_HARD_SIGMOID:
        x = a->alpha * x + a->beta;
        return x < 0 ? 0 : x > 1 ? 1 : x;
    case ASSAY_ELU:
        return x < 0 ? a->alpha * expm1(x) : x;
    case ASSAY_SOFTSIGN:
        return x / (1 + fabs(x));
    case ASSAY_SOFTPLUS:
        break;
    }
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double assay_cell_slope(const struct assay_cell *cell, int i, double x, double y)
{
    const struct assay_activation *a = &cell->activation[i];
    if (fabs(x) > cell->clip)
        return 0;
    switch (a->kind) {
    case ASSAY_RELU:
        return x > 0;
    case ASSAY_TANH:
        return 1 - y * y;
    case ASSAY_SIGMOID:
        return y * (1 - y);
    case ASSAY_AFFINE:
        return a->alpha;
    case ASSAY_LEAKY_RELU:
        return x < 0 ? a->alpha : 1;
    case ASSAY_THRESHOLDED_RELU:
        return x >= a->alpha;
    case ASSAY_SCALED_TANH:
        y = tanh(a->beta * x);
        return a->alpha * a->beta * (1 - y * y);
    case ASSAY_HARD_SIGMOID:
        return y > 0 && y < 1 ? a->alpha : 0;
    case ASSAY_ELU:
        return x < 0 ? y + a->alpha : 1;
    case ASSAY_SOFTSIGN:
        return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
    case ASSAY_SOFTPLUS:
        break;
    }
    return 1 / (1 + exp(-x));
}

void assay_cell_rnn(const struct assay_cell *cell, const double *x, const double *r, double *h)
{
    for (int64_t i = 0; i < cell->hidden; i++)
        h[i] = assay_cell_activate(cell, 0, x[i] + r[i]);
}

enum { F, G, H };

bool assay_cell_lstm(const struct assay_cell *cell, const double *x, const double *r, double *h, double *c)
{
    int64_t n = cell->hidden;
    bool within = true;
    const double *p = cell->peepholes;
    for (int64_t k = 0; k < n; k++) {
        double input = x[k] + r[k] + (p ? p[k] * c[k] : 0);
        double forget = x[2 * n + k] + r[2 * n + k] + (p ? p[2 * n + k] * c[k] : 0);
        input = assay_cell_activate(cell, F, input);
        forget = cell->input_forget ? 1 - input : assay_cell_activate(cell, F, forget);
        c[k] = forget * c[k] + input * assay_cell_activate(cell, G, x[3 * n + k] + r[3 * n + k]);
        double output = assay_cell_activate(cell, F, x[n + k] + r[n + k] + (p ? p[n + k] * c[k] : 0));
        h[k] = output * assay_cell_activate(cell, H, c[k]);
        within = within && !(fabs(c[k]) > cell->clip);
    }
    return within;
}

void assay_cell_gru_gates(const struct assay_cell *cell, const double *x, double *r, const double *h, double *gated)
{
    int64_t n = cell->hidden;
    for (int64_t k = 0; k < 2 * n; k++)
        r[k] = assay_cell_activate(cell, F, x[k] + r[k]);
    for (int64_t k = 0; k < n; k++)
        gated[k] = r[n + k] * h[k];
}

void assay_cell_gru(const struct assay_cell *cell, const double *x, const double *r, double *h)
{
    int64_t n = cell->hidden;
    for (int64_t k = 0; k < n; k++) {
        double from_state = r[2 * n + k];
        if (cell->linear_before_reset)
            from_state = r[n + k] * (from_state + (cell->reset_bias ? cell->reset_bias[k] : 0));
        double candidate = assay_cell_activate(cell, G, x[2 * n + k] + from_state);
        h[k] = (1 - r[k]) * candidate + r[k] * h[k];
    }
}
