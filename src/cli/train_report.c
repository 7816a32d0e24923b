/* SPDX-License-Identifier: Apache-2.0 */
/* See train_report.h. */
#include "cli/train_report.h"

#include "base/fs.h"
#include "report/curves.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct columns {
    double *steps, *losses, *rates, *validated, *metrics, *validation_losses;
};

static struct columns split(struct assay_cli *cli, const struct assay_run_result *r)
{
    size_t n = (size_t)r->n_points, m = (size_t)r->n_validations;
    struct columns c;
    double **of_points[] = {&c.steps, &c.losses, &c.rates};
    double **of_validations[] = {&c.validated, &c.metrics, &c.validation_losses};
    for (size_t i = 0; i < 3; i++) {
        *of_points[i] = assay_arena_array(&cli->arena, n + 1, sizeof(double));
        *of_validations[i] = assay_arena_array(&cli->arena, m + 1, sizeof(double));
    }
    for (size_t i = 0; i < n; i++) {
        c.steps[i] = r->points[i].step;
        c.losses[i] = r->points[i].loss;
        c.rates[i] = r->points[i].learning_rate;
    }
    for (size_t i = 0; i < m; i++) {
        c.validated[i] = r->validations[i].step;
        c.metrics[i] = r->validations[i].metric;
        c.validation_losses[i] = r->validations[i].loss;
    }
    return c;
}

static enum assay_status show(struct assay_cli *cli, const struct assay_curves *curves, const char *folder,
                              struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    if (folder) {
        char *svg = assay_curves_svg(curves);
        st = assay_fs_write(assay_path_join(&cli->arena, folder, "curves.svg"), svg, strlen(svg), err);
        free(svg);
    }
    if (cli->log.terminal) {
        struct winsize size;
        bool is_known = ioctl(fileno(cli->log.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        struct assay_curves_terminal terminal = {
            .n_columns = is_known ? size.ws_col : 80, .n_rows = 8, .is_utf8 = true, .is_coloured = cli->log.colour};
        char *text = assay_curves_text(curves, &terminal);
        fputs(text, cli->log.out);
        free(text);
    }
    return st;
}

enum assay_status assay_train_report_curves(struct assay_cli *cli, const struct assay_run_result *r,
                                            const struct assay_run_options *o, const char *dataset, struct assay_error *err)
{
    struct columns c = split(cli, r);
    size_t n = (size_t)r->n_points, m = (size_t)r->n_validations;
    struct assay_curve losses[] = {{"train", c.steps, c.losses, n, ASSAY_CURVE_NOISY, 0},
                                   {"validation", c.validated, c.validation_losses, m, ASSAY_CURVE_SPARSE, 1}};
    struct assay_curve metric = {"validation", c.validated, c.metrics, m, ASSAY_CURVE_SPARSE, 1};
    struct assay_curve rate = {"learning rate", c.steps, c.rates, n, ASSAY_CURVE_EXACT, 2};
    struct assay_curves_panel panels[] = {
        {.label = "loss",
         .curves = losses,
         .n_curves = m ? 2 : 1,
         .weight = 1,
         .best = ASSAY_CURVES_SMALLEST,
         .may_be_logarithmic = true},
        {.label = r->metric_name,
         .curves = &metric,
         .n_curves = 1,
         .weight = 1,
         .best = r->larger_is_better ? ASSAY_CURVES_LARGEST : ASSAY_CURVES_SMALLEST,
         .has_target = o->has_target,
         .target = o->target},
        {.label = "learning rate", .curves = &rate, .n_curves = 1, .weight = 0.4},
    };
    bool has_metric = m > 0 && strcmp(r->metric_name, "loss") != 0;
    if (!has_metric)
        panels[1] = panels[2];
    const char *title = assay_arena_printf(&cli->arena, "%s on %s", assay_path_name(o->task.model), dataset);
    const char *subtitle =
        assay_arena_printf(&cli->arena, "%s, %d threads, batch %lld, seed %llu, %.3g s", o->compile.platform->name,
                           o->compile.n_threads, (long long)o->task.batch, (unsigned long long)o->task.seed, r->wall_s);
    struct assay_curves curves = {.title = title, .subtitle = subtitle, .panels = panels, .n_panels = has_metric ? 3 : 2};
    return n ? show(cli, &curves, o->folder, err) : ASSAY_OK;
}
