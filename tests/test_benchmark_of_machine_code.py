"""The count of machine code: the path through a listing, and what lies on it between a product and its stores."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine_code
from benchmarks.gpu import PAGE
from benchmarks.machine_code import BLOCK, PROGRAM, PUBLISHES, counts, page, tails
from benchmarks.page import block
from benchmarks.sass import read_kernel, usual_path

LISTING = """
//--------------------- .text.other --------------------------
	.section	.text.other,"ax",@progbits
.text.other:
        /*0000*/                   EXIT ;

//--------------------- .text.kernel --------------------------
	.section	.text.kernel,"ax",@progbits
	.align	128
.text.kernel:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   LDG.E R2, desc[UR4][R4.64] ;
        /*0020*/                   FFMA R3, R2, R2, R3 ;
        /*0030*/               @P0 BRA `(.L_x_0) ;
        /*0040*/                   FFMA R3, R2, R2, R3 ;
        /*0050*/                   SHFL.BFLY PT, R5, R3, 0x10, 0x1f ;
        /*0060*/                   FADD R5, R3, R5 ;
        /*0070*/              @!P1 STS [R7], R5 ;
        /*0080*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0090*/               @P2 BRA `(.L_x_2) ;
        /*00a0*/                   MUFU.RCP R6, R5 ;
        /*00b0*/                   FFMA R6, R5, R6, -1 ;
        /*00c0*/               @P3 BRA `(.L_x_1) ;
        /*00d0*/                   MOV R8, 0xf0 ;
        /*00e0*/                   CALL.REL.NOINC `($slow) ;
.L_x_1:
        /*00f0*/               @P4 BRA `(.L_x_2) ;
        /*0100*/                   LDG.E R9, desc[UR4][R10.64] ;
.L_x_2:
        /*0110*/                   STG.E.STRONG.GPU desc[UR4][R12.64], R6 ;
        /*0120*/                   MOV R14, R6 ;
        /*0130*/                   STG.E.STRONG.GPU desc[UR4][R12.64+0x4], R6 ;
        /*0140*/               @P5 BRA `(.L_x_0) ;
        /*0150*/                   STG.E desc[UR4][R12.64+0x8], R6 ;
        /*0160*/                   EXIT ;
.L_x_3:
        /*0170*/                   BRA `(.L_x_3);
"""
PATH = [0x0, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xF0]


def addresses(listing: str) -> list[int]:
    return [one.address for one in usual_path(read_kernel(listing, "kernel"), PUBLISHES)]


def test_the_path_passes_through_the_gates_and_through_no_call() -> None:
    """Neither around the reciprocal (padding) nor to the slow path; around a load that adds no arithmetic."""
    assert addresses(LISTING) == [*PATH, 0x110, 0x120, 0x130, 0x140, 0x150, 0x160]
    with_more = LISTING.replace("LDG.E R9, desc[UR4][R10.64]", "FADD R6, R6, R9")
    assert addresses(with_more)[: len(PATH) + 1] == [*PATH, 0x100]


def test_the_path_takes_a_store_that_others_wait_for() -> None:
    around = LISTING.replace("BRA `(.L_x_2) ;\n        /*0100*/", "BRA `(.L_x_4) ;\n        /*0100*/").replace(
        ".L_x_3:", ".L_x_4:\n        /*0168*/                   EXIT ;\n.L_x_3:"
    )
    assert addresses(around) == [*PATH, 0x100, 0x110, 0x120, 0x130, 0x140, 0x150, 0x160]


def test_what_lies_between_the_product_and_its_stores() -> None:
    (tail,) = tails(usual_path(read_kernel(LISTING, "kernel"), PUBLISHES))
    assert [one.address for one in tail.instructions] == [*PATH[5:], 0x110, 0x120, 0x130]
    assert tail.first == len(PATH[5:]) + 1
    assert [tail.count(name) for name in ("SHFL", "MUFU", "BRA", "BAR", "LDG", "FFMA")] == [1, 1, 3, 1, 0, 1]


@pytest.mark.parametrize("store", ["ST.E [R12.64]", "STAS [R12.64]"])
def test_stores_into_a_cluster_count(store: str) -> None:
    listing = LISTING.replace("STG.E.STRONG.GPU desc[UR4][R12.64],", f"{store},")
    (tail,) = tails(usual_path(read_kernel(listing, "kernel"), PUBLISHES))
    assert len(tail.instructions) == len(PATH[5:]) + 3


def test_each_product_has_its_own_stores() -> None:
    path = usual_path(read_kernel(LISTING, "kernel"), PUBLISHES)
    first, second = tails([*path, *path[1:]])
    assert first == second


def test_a_store_without_a_product_is_an_error() -> None:
    path = usual_path(read_kernel(LISTING, "kernel"), PUBLISHES)
    with pytest.raises(ValueError, match="no product before this store"):
        tails([one for one in path if one.name != "SHFL.BFLY"])


@pytest.mark.parametrize(
    ("listing", "message"),
    [("", "got 'kernel', which the listing does not have"), (LISTING.replace(".L_x_1:", ""), "a jump to nowhere")],
)
def test_listings_that_cannot_be_read(listing: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_kernel(listing, "kernel")


def test_the_table_has_both_versions() -> None:
    found = dict.fromkeys(["lstm"], tails(usual_path(read_kernel(LISTING, "kernel"), PUBLISHES))[0])
    assert counts(found["lstm"]) == ["10", "12", "1", "0", "1", "1", "3"]
    assert "| lstm " in page(found, None)
    assert "10 → –" in page({}, found)
    assert "– → 10" in page(found, {})
    assert "12 → 12" in page(found, found)


def test_the_page_has_a_block() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(line) == 1 for line in block(BLOCK, PROGRAM))


def test_kernels_are_those_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    with pytest.raises(RuntimeError, match="want it from"):
        machine_code.sources(str(tmp_path))


def test_the_page_wants_a_version_before(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        machine_code.main(["--write"])
    assert "wants a CHECKOUT" in capsys.readouterr().err
