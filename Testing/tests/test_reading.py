"""Files become volumes as they are stored, or a sentence that says why not."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK

from TransformerSegLib.errors import (
    NotThreeDimensional,
    SingularAffine,
    TransformerSegError,
    UnreadableInput,
    VectorVoxels,
)
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.reading import name_of, read_volume

from damage import mutated

DATA = Path(__file__).parents[1] / "data"
OBLIQUE = DATA / "geometry" / "oblique_flair.nii.gz"
THICK = DATA / "geometry" / "thick_slices.nrrd"
TURNED = np.array([[1.9, -0.9, 0, 10], [0.6, 2.85, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
STRAIGHT = np.diag([2.0, 3.0, 4.0, 1.0])
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def noise(shape: tuple[int, ...] = (5, 6, 7), dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def nifti(path: Path, array: np.ndarray, affine: np.ndarray = STRAIGHT, kind: type = nibabel.Nifti1Image) -> Path:
    nibabel.save(kind(array, affine, dtype=array.dtype), path)
    return path


def by_itk(path: Path, array: np.ndarray, *, vector: bool = False, compress: bool = True) -> Path:
    """Write a (K, J, I) array with spacing (2, 3, 4) mm."""
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    image.SetSpacing((2, 3, 4)[: image.GetDimension()])
    SimpleITK.WriteImage(image, str(path), compress)
    return path


# ---------------------------------------------------------------------------------------------------- NIfTI


def test_an_oblique_nifti_file_has_the_voxels_and_the_affine_that_nibabel_gives():
    volume, expected = read_volume(OBLIQUE), nibabel.load(OBLIQUE)
    np.testing.assert_array_equal(volume.array, np.asarray(expected.dataobj))
    np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-12)
    assert (volume.array.dtype, volume.name, volume.modality) == (np.uint8, "oblique_flair", None)
    assert volume.array.flags.c_contiguous


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (4, 1), (1, 2), (1, 4), (0, 0)])
def test_the_sform_comes_before_the_qform_and_each_only_with_a_code(tmp_path, sform, qform):
    image = nibabel.Nifti1Image(noise(), None)
    image.header.set_qform(STRAIGHT, qform)
    image.header.set_sform(TURNED, sform)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").affine, nibabel.load(tmp_path / "a.nii.gz").affine)


def test_a_nifti_header_in_metres_gives_an_affine_in_millimetres(tmp_path):
    image = nibabel.Nifti1Image(noise(), STRAIGHT / (1000, 1000, 1000, 1))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").spacing == pytest.approx((2, 3, 4))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_1_and_2_are_read_packed_and_unpacked(tmp_path, kind, suffix):
    volume = read_volume(nifti(tmp_path / f"a{suffix}", noise(), TURNED, kind))
    np.testing.assert_array_equal(volume.array, noise())
    np.testing.assert_allclose(volume.affine, TURNED, atol=1e-6)


def test_voxels_of_the_other_byte_order_are_turned_to_this_machines(tmp_path):
    image = nibabel.Nifti1Image(noise(), STRAIGHT, nibabel.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.int16
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array, noise())


def test_voxels_that_the_header_scales_become_floating_point_numbers(tmp_path):
    image = nibabel.Nifti1Image(noise(), STRAIGHT)
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, nibabel.load(tmp_path / "a.nii.gz").get_fdata(), rtol=1e-6)


def with_header_of(path: Path, **fields: object) -> Path:
    """Write fields of a NIfTI-1 header as they are, without nibabel's repairs."""
    content = path.read_bytes()
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[348:])
    return path


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("length", [0, -3, np.nan, np.inf])
def test_a_nifti_file_with_a_useless_spacing_is_refused_unless_its_sform_places_it(tmp_path, capfd, code, length):
    path = nifti(tmp_path / "a.nii", noise())
    spacing = [1, 2, length, 4, 1, 1, 1, 1]
    placed = read_volume(with_header_of(path, pixdim=spacing, sform_code=2))
    np.testing.assert_allclose(placed.affine, STRAIGHT)
    with pytest.raises(SingularAffine, match="one has no spacing"):
        read_volume(with_header_of(path, pixdim=spacing, sform_code=0, qform_code=code))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("qfac", [0, 1, -1])
def test_the_qform_is_a_mirror_image_only_where_the_header_says_so(tmp_path, qfac):
    path = with_header_of(nifti(tmp_path / "a.nii", noise()), sform_code=0, qform_code=1, pixdim=[qfac, *range(2, 9)])
    np.testing.assert_allclose(read_volume(path).affine, np.diag([2, 3, -4 if qfac < 0 else 4, 1]))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]},
        {"dim": [3, 5, -6, 7, 1, 1, 1, 1]},
        {"datatype": 3},
        {"vox_offset": np.inf},
        {"vox_offset": np.nan},
        {"vox_offset": 0},
        {"vox_offset": 1e9},
        {"xyzt_units": 7},
        {"magic": b"ni1"},
        {"sizeof_hdr": 349},
        {"scl_slope": 2, "scl_inter": np.inf},
        {"sform_code": 0, "qform_code": 1, "quatern_b": 3},
    ],
    ids=str,
)
def test_a_nifti_header_that_cannot_be_is_refused_without_a_word_more(tmp_path, capfd, packed, fields):
    path = with_header_of(nifti(tmp_path / "a.nii", noise()), **fields)
    if packed:
        path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_suffix(".nii.gz")
    with pytest.raises(UnreadableInput, match="cannot be read as NIfTI"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------------- NRRD, MetaImage


def test_an_nrrd_file_with_negative_directions_is_read_as_pynrrd_reads_it():
    volume, (array, header) = read_volume(THICK), nrrd.read(str(THICK))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, LPS_TO_RAS @ affine)
    assert volume.spacing == pytest.approx((0.78125, 0.78125, 6.5))


def test_an_nrrd_file_in_ras_has_the_affine_that_it_names(tmp_path):
    header = {"space": "right-anterior-superior", "space directions": TURNED[:3, :3].T, "space origin": TURNED[:3, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), noise(), header)
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.array, noise())
    np.testing.assert_allclose(volume.affine, TURNED, atol=1e-12)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_a_volume_is_the_same_in_every_format(tmp_path, suffix):
    array = noise()
    volume = read_volume(by_itk(tmp_path / f"a{suffix}", array.transpose(2, 1, 0), compress=suffix != ".mhd"))
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, np.diag([-2.0, -3.0, 4.0, 1.0]), atol=1e-6)
    assert volume.name == "a"
    assert volume.array.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_voxels_keep_the_type_in_which_they_are_stored(tmp_path, suffix, dtype):
    volume = read_volume(by_itk(tmp_path / f"a{suffix}", noise(dtype=dtype)))
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.array, noise().transpose(2, 1, 0))


@pytest.mark.parametrize("direction", ["(2,0,0) (1.5,3,0) (0,0,4)", "(2,0,0) (0.05,3,0) (0,0,4)"])
def test_a_sheared_nrrd_file_keeps_its_shear_for_the_checks_to_find(tmp_path, direction):
    path = with_header_line(by_itk(tmp_path / "a.nrrd", noise()), "space directions", direction)
    expected = np.array([vector.strip("()").split(",") for vector in direction.split()], float).T
    np.testing.assert_allclose(LPS_TO_RAS[:3, :3] @ read_volume(path).affine[:3, :3], expected)


# ---------------------------------------------------------------------------------------------------- axes


def test_one_time_point_is_a_volume(tmp_path):
    image = SimpleITK.GetImageFromArray(noise().transpose(2, 1, 0))
    for suffix in (".nrrd", ".mha", ".nii.gz"):
        SimpleITK.WriteImage(SimpleITK.JoinSeries([image]), str(tmp_path / f"a{suffix}"))
        np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}").array, noise(), err_msg=suffix)


def test_several_time_points_are_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(noise())
    for suffix in (".nrrd", ".mha", ".nii.gz"):
        SimpleITK.WriteImage(SimpleITK.JoinSeries([image] * 3), str(tmp_path / f"a{suffix}"))
        with pytest.raises(NotThreeDimensional, match=r"there are 3 of them. Extract one time point"):
            read_volume(tmp_path / f"a{suffix}")


def test_a_sequence_of_slicer_is_refused_as_a_sequence(tmp_path):
    header = {"kinds": ["list", "domain", "domain", "domain"], "space": "left-posterior-superior"}
    header["space directions"] = np.vstack([[np.nan] * 3, np.eye(3)])
    nrrd.write(str(tmp_path / "a.seq.nrrd"), noise((4, 5, 6, 7)), header)
    with pytest.raises(NotThreeDimensional, match="a sequence of 4 volumes"):
        read_volume(tmp_path / "a.seq.nrrd")


def test_a_flat_image_is_refused(tmp_path):
    for suffix in (".nrrd", ".mha", ".nii.gz"):
        with pytest.raises(NotThreeDimensional, match="2-dimensional"):
            read_volume(by_itk(tmp_path / f"a{suffix}", noise((5, 6))))


# ---------------------------------------------------------------------------------------------------- voxels


def test_colours_are_refused():
    with pytest.raises(VectorVoxels, match="“rgb” has 3 values"):
        read_volume(DATA / "geometry" / "rgb.nii.gz")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_vectors_are_refused(tmp_path, suffix):
    with pytest.raises(VectorVoxels, match="3 values"):
        read_volume(by_itk(tmp_path / f"a{suffix}", noise((7, 6, 5, 3)), vector=True))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_complex_numbers_are_refused(tmp_path, suffix):
    with pytest.raises(VectorVoxels, match="2 values"):
        read_volume(by_itk(tmp_path / f"a{suffix}", noise(dtype=np.complex64)))


# ---------------------------------------------------------------------------------------------------- bad files


def with_header_line(path: Path, key: str, value: str) -> Path:
    """Put another value into a text header."""
    head, mark, rest = path.read_bytes().partition(key.encode())
    separator = b" = " if path.suffix == ".mha" else b": "
    path.write_bytes(head + mark + separator + value.encode() + rest[rest.index(b"\n") :])
    return path


@pytest.mark.parametrize(
    ("suffix", "key", "value"),
    [
        (".nrrd", "space directions", "(2,0,0) (0,3,0) (0,3,0)"),
        (".nrrd", "space directions", "(2,0,0) (0,0,0) (0,0,4)"),
        (".mha", "TransformMatrix", "1 0 0 0 1 0 0 1 0"),
        (".mha", "ElementSpacing", "0 3 4"),
    ],
)
def test_coplanar_axes_are_refused_as_singular(tmp_path, suffix, key, value):
    with pytest.raises(SingularAffine, match="coplanar"):
        read_volume(with_header_line(by_itk(tmp_path / f"a{suffix}", noise()), key, value))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no volume " * 100)


@pytest.mark.parametrize("damage", [cut, half, empty, text])
@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".nii", False), (".nii.gz", True), (".nrrd", True), (".nrrd", False), (".mha", True), (".mha", False)],
)
def test_a_damaged_file_is_refused_by_name_and_nothing_else_is_printed(tmp_path, capfd, damage, suffix, compress):
    path = by_itk(tmp_path / f"brain{suffix}", noise((20, 20, 20)), compress=compress)
    damage(path)
    with pytest.raises(UnreadableInput, match=f"“brain{suffix}” cannot be read"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_a_packed_nifti_file_with_one_wrong_bit_is_refused(tmp_path):
    # Stored without compression, the wrong bit is a wrong voxel that only the checksum gives away.
    packed = gzip.compress(nifti(tmp_path / "a.nii", noise((20, 20, 20))).read_bytes(), compresslevel=0)
    (tmp_path / "a.nii.gz").write_bytes(packed[:-1000] + bytes([packed[-1000] ^ 1]) + packed[-999:])
    with pytest.raises(UnreadableInput, match="damaged"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_packed_metaimage_with_wrong_bytes_is_refused(tmp_path, capfd):
    path = by_itk(tmp_path / "a.mha", noise((20, 20, 20)))
    head, mark, voxels = path.read_bytes().partition(b"LOCAL\n")
    path.write_bytes(head + mark + voxels[:10] + bytes(byte ^ 0x5A for byte in voxels[10:]))
    with pytest.raises(UnreadableInput, match="damaged"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("suffix", "key", "line"),
    [
        (".nrrd", "space directions", "space directions: (2,0,0) (0,3,0) none"),
        (".nrrd", "space directions", ""),
        (".mha", "ElementSpacing", "ElementSpacing = 2 -3 4"),
        (".mha", "ElementSpacing", "ElementSpacing = 2 nan 4"),
        (".mha", "ElementSpacing", "ElementSpacing = 2 3"),
        (".mha", "ElementSpacing", ""),
        (".mha", "Offset", "Offset = 0 nan 0"),
        (".mha", "TransformMatrix", "TransformMatrix = 1 0 0 0 1 0 0 0 one"),
    ],
)
def test_a_place_that_is_not_there_or_no_number_is_refused(tmp_path, suffix, key, line):
    path = by_itk(tmp_path / f"a{suffix}", noise())
    lines = path.read_bytes().split(b"\n")
    index = next(index for index, text in enumerate(lines) if text.startswith(key.encode()))
    lines[index : index + 1] = [line.encode()] if line else []
    path.write_bytes(b"\n".join(lines))
    with pytest.raises((SingularAffine, UnreadableInput), match=r"one has no spacing|cannot be read"):
        read_volume(path)


@pytest.mark.parametrize("spacings", ["1 1 NaN", "1 1 -2", "1 1"])
def test_an_nrrd_file_without_space_needs_three_spacings(tmp_path, spacings):
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 5 6 7\nencoding: raw\n"
    voxels = noise(dtype=np.uint8).tobytes()
    (tmp_path / "a.nrrd").write_bytes(f"{header}spacings: {spacings}\n\n".encode() + voxels)
    with pytest.raises((SingularAffine, UnreadableInput)):
        read_volume(tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_bytes(f"{header}spacings: 1 1 2\n\n".encode() + voxels)
    assert read_volume(tmp_path / "a.nrrd").spacing == (1, 1, 2)


@pytest.mark.parametrize("data_file", ["LIST", "LIST 3", "%s%s%s%n 1 7 1", "%03d.raw 1 7 1"])
def test_a_metaimage_in_several_files_is_refused(tmp_path, data_file):
    path = by_itk(tmp_path / "a.mhd", noise(), compress=False)
    path.write_text(path.read_text().replace("a.raw", f"{data_file}\n0.raw"))
    with pytest.raises(UnreadableInput, match="keeps its voxels in a list of files"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_a_packed_metaimage_that_unpacks_to_too_few_voxels_is_refused(tmp_path, suffix):
    path = by_itk(tmp_path / f"a{suffix}", noise())
    head, mark, _ = path.read_bytes().partition(b"LOCAL\n")
    few = zlib.compress(noise().tobytes()[:-2])
    fields = [line for line in head.split(b"\n") if not line.startswith(b"CompressedDataSize")]
    if suffix == ".mha":
        path.write_bytes(b"\n".join(fields) + mark + few)
    else:
        path.write_bytes(b"\n".join(fields))
        path.with_suffix(".zraw").write_bytes(few)
    with pytest.raises(UnreadableInput, match="cut short"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_header_without_its_voxel_file_is_refused(tmp_path, suffix):
    by_itk(tmp_path / f"a{suffix}", noise(), compress=False)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(UnreadableInput, match="lacks the file that holds its voxels"):
        read_volume(shutil.copy(tmp_path / f"a{suffix}", tmp_path / "elsewhere"))


@pytest.mark.parametrize("name", ["missing.nii.gz", "missing", "missing.nrrd"])
def test_a_missing_file_is_refused(tmp_path, name):
    with pytest.raises(UnreadableInput, match="does not exist"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["notes.txt", "photo.png", "surface", "a.nii.zip"])
def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path, name):
    text(tmp_path / name)
    with pytest.raises(UnreadableInput, match=f"“{name}” is of a kind that is not read: what is read is NIfTI"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.nii.gz", "a"), ("T1.v2.nii", "T1.v2"), ("A.NRRD", "A"), ("b.mhd", "b"), ("IM-1.dcm", "IM-1"), ("IM1", "IM1")],
)
def test_a_volume_is_called_as_its_file_without_the_suffix(file, name):
    assert name_of(Path("folder.nii") / file) == name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Schädel μ 頭.nii", "Schädel μ 頭"),
        ("a\n\x1b[31mb\t c.nii", "a [31mb c"),
        ("exe\u202ecod.nii", "exe cod"),
        (os.fsdecode(b"T1\xff.nii"), "T1\N{REPLACEMENT CHARACTER}"),
        ("\n.nii", "unnamed"),
    ],
)
def test_a_name_is_one_line_of_text_whatever_the_file_is_called(tmp_path, file, name):
    assert read_volume(nifti(tmp_path / "a.nii", noise()).rename(tmp_path / file)).name == name


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_path_that_is_no_text_is_refused_by_name(tmp_path, suffix):
    path = by_itk(tmp_path / f"a{suffix}", noise()).rename(tmp_path / os.fsdecode(b"T1\xff" + suffix.encode()))
    with pytest.raises(UnreadableInput, match=r"“T1�\.(nrrd|mha)” cannot be read: .* UTF-8") as error:
        read_volume(path)
    str(error.value).encode()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("suffix", [".nii", ".txt", ".mha", ".nrrd"])
def test_a_message_holds_no_control_characters(tmp_path, suffix, there):
    path = tmp_path / f"a\x1b[31m{suffix}"
    if there:
        text(path)
    with pytest.raises((UnreadableInput, SingularAffine)) as error:
        read_volume(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_any_damage_ends_in_a_typed_error_or_a_volume(tmp_path, capfd, suffix):
    path = by_itk(tmp_path / f"a{suffix}", noise(), compress=suffix != ".nii.gz")
    whole = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
    header_bytes = {".nrrd": whole.find(b"\n\n"), ".mha": whole.find(b"LOCAL\n")}.get(suffix, min(len(whole), 352))
    random = np.random.default_rng(0)
    read = 0
    for _ in range(200):
        damaged = mutated(whole, header_bytes, random)
        path.write_bytes(gzip.compress(damaged, 1) if suffix == ".nii.gz" else damaged)
        try:
            read += read_volume(path).array.size > 0
        except TransformerSegError:
            continue
    assert 0 < read < 200
    assert capfd.readouterr() == ("", "")


def test_threads_that_read_at_a_time_leave_standard_error_as_it_was(tmp_path, capfd):
    path = by_itk(tmp_path / "a.mha", noise())
    with ThreadPoolExecutor(8) as threads:
        volumes = list(threads.map(read_volume, [path] * 100))
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
    assert len(volumes) == 100


def test_all_48_axis_orders_keep_every_voxel_in_its_place(tmp_path):
    image = nibabel.load(OBLIQUE)
    place = [20, 24, 20, 1]
    for order, flips in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        orientation = np.array(list(zip(order, flips, strict=True)))
        turned = image.as_reoriented(orientation)
        nibabel.save(turned, tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        index = np.rint(np.linalg.inv(volume.affine) @ image.affine @ place).astype(int)[:3]
        assert volume.array[tuple(index)] == image.dataobj[tuple(place[:3])], (order, flips)


@pytest.mark.parametrize("shape", [(5, 6, 7), (33, 2, 65), (1, 1, 1)])
@pytest.mark.parametrize("stored", ["<i2", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_voxels_are_put_into_c_order_and_native_byte_order_whatever_they_were_in(shape, stored, order):
    array = noise(shape).astype(stored, order=order)
    result = c_order(array)
    assert result.flags.c_contiguous
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, noise(shape))


def test_voxels_in_c_order_already_are_not_copied():
    array = noise()
    assert c_order(array) is array
