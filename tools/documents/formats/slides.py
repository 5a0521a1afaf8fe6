"""PPTX, with python-pptx: a slide is a page, its title the heading; then its texts, tables and charts, then the notes."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError
from pptx.package import Package

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.office import looked_through
from tools.documents.tables import table_pieces

DEEPEST = 10
RUNNING = (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.HEADER)
OWN_TITLES = ("powerpoint presentation", "presentation", "slide 1")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    gathering = BlockCollector(options.max_characters)
    with looked_through(file, PythonPptxError):
        package: Any = Package.open(file)
        shown = package.presentation_part.presentation
        slides = list(shown.slides)
        if len(slides) > options.max_pages:
            raise Unreadable("too_large", f"There are more than {options.max_pages:,} slides; split the file up.")
        for number, slide in enumerate(slides, 1):
            if slide.element.get("show") == "0":
                gathering.note(f"Slide {number} is hidden and was left out.")
            else:
                _add_slide(slide, number, gathering)
        title = (shown.core_properties.title or "").strip()
    return gathering.done("" if title.lower() in OWN_TITLES else title, len(slides))


def _add_slide(slide: Any, number: int, gathering: BlockCollector) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        gathering.add_heading(title.text_frame.text, 1, number)
    for shape in _in_order(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _add_shape(shape, number, gathering)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        gathering.add("text", frame.text, number)


def _in_order(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """From top to bottom and left to right; they are stored in the order in which they lie upon each other."""
    for shape in sorted(shapes, key=lambda shape: (_or_zero(shape.top), _or_zero(shape.left))):
        if hasattr(shape, "shapes"):
            if depth < DEEPEST:
                yield from _in_order(shape.shapes, depth + 1)
        else:
            yield shape


def _or_zero(place: int | None) -> int:
    return place or 0


def _add_shape(shape: Any, number: int, gathering: BlockCollector) -> None:
    if shape.is_placeholder and shape.placeholder_format.type in RUNNING:
        return
    if getattr(shape, "has_table", False):
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
        for piece in table_pieces(rows):
            gathering.add("table", piece, number)
    elif getattr(shape, "has_chart", False):
        _add_chart(shape.chart, number, gathering)
    elif shape.has_text_frame:
        _add_text(shape, number, gathering)


def _add_text(shape: Any, number: int, gathering: BlockCollector) -> None:
    """The body of a slide is a list, if it has more than one paragraph; other boxes are text."""
    paragraphs = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in shape.text_frame.paragraphs]
    written = [(level, text) for level, text in paragraphs if text]
    if shape.is_placeholder and len(written) > 1:
        gathering.add("list", "\n".join(f"{'  ' * level}- {text}" for level, text in written), number)
    else:
        gathering.add("text", "\n".join(text for _, text in written), number)


def _add_chart(chart: Any, number: int, gathering: BlockCollector) -> None:
    """The figures that a chart was drawn from, as a table: a row for each category."""
    if chart.has_title and chart.chart_title.has_text_frame:
        gathering.add("text", chart.chart_title.text_frame.text, number)
    for plot in chart.plots:
        series = list(plot.series)
        rows = [["", *(one.name or "" for one in series)]]
        for at, category in enumerate(plot.categories):
            rows.append([str(category), *(_figure(one.values, at) for one in series)])
        for piece in table_pieces(rows):
            gathering.add("table", piece, number)


def _figure(values: tuple[float | None, ...], at: int) -> str:
    value = values[at] if at < len(values) else None
    return "" if value is None else f"{value:.15g}"
