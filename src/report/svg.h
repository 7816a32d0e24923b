/* SPDX-License-Identifier: Apache-2.0 */
/* What every SVG figure of Assay needs: escaped text, labels, and how wide a text is about. */
#ifndef ASSAY_REPORT_SVG_H
#define ASSAY_REPORT_SVG_H

#include <stdio.h>

/* Escaped, without control characters. */
void assay_svg_text(FILE *out, const char *text);
/* A <text> at a place, with further attributes. */
void assay_svg_label(FILE *out, double x, double y, const char *attributes, const char *text);
/* In DejaVu Sans or a like face, on the wide side. */
double assay_svg_text_width(const char *text, double font_size);

#endif
