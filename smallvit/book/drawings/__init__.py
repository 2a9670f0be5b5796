"""Drawings that a chapter needs, in colours that read on light and dark pages alike.

Functions that draw return SVG markup.
"""

from smallvit.book.drawings.charts import figure_to_svg, subplots
from smallvit.book.drawings.photos import (
    draw_images,
    draw_mixture,
    draw_patches,
    draw_photo,
    draw_quincunx,
)
from smallvit.book.drawings.svg import INK, PALETTE, Picture, once, panels, svg_document, with_alt
from smallvit.book.drawings.tokens import Scale, draw_bars, draw_grid
from smallvit.book.drawings.windows import (
    colour_by_place,
    draw_coverage,
    draw_partition,
    draw_strip,
    draw_windows,
    window_numbers,
)
