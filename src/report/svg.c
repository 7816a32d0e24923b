/* SPDX-License-Identifier: Apache-2.0 */
/* See svg.h. */
#include "report/svg.h"

#include <stddef.h>

void assay_svg_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity)
            fputs(entity, out);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, out);
    }
}

void assay_svg_label(FILE *out, double x, double y, const char *attributes, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    assay_svg_text(out, text);
    fputs("</text>\n", out);
}

double assay_svg_text_width(const char *text, double font_size)
{
    double n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n * font_size * 0.56;
}
