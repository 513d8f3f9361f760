"""Association PDUs and command sets, against pynetdicom and pydicom."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pynetdicom import pdu as theirs

from crawler.pacs import command as dimse
from crawler.pacs import pdu
from crawler.pacs.command import Command
from crawler.pacs.part10 import file_meta, read_meta
from crawler.pacs.pdu import Associate, Context

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
REQUEST = Associate(
    "PACS",
    "DME",
    (Context(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2", EXPLICIT)), Context(3, CT, (EXPLICIT,))),
    1 << 20,
    {CT: (False, True)},
    pdu.IMPLEMENTATION_UID,
)


def test_request_is_what_pynetdicom_reads() -> None:
    encoded = pdu.encode_associate(REQUEST, pdu.REQUEST)
    read = theirs.A_ASSOCIATE_RQ()
    read.decode(encoded)
    assert (read.called_ae_title, read.calling_ae_title) == ("PACS", "DME")
    assert [(c.presentation_context_id, c.abstract_syntax) for c in read.presentation_context] == [
        (1, "1.2.840.10008.1.1"),
        (3, CT),
    ]
    assert read.user_information.maximum_length == 1 << 20
    (role,) = read.user_information.role_selection.values()
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == (CT, 0, 1)
    assert read.encode() == encoded, "pynetdicom writes the same bytes"


@pytest.mark.parametrize("kind", [pdu.REQUEST, pdu.ACCEPT])
def test_associate_survives_a_round_trip(kind: int) -> None:
    value = REQUEST
    if kind == pdu.ACCEPT:  # has no abstract syntaxes, and one transfer syntax at most
        contexts = (Context(1, "", (EXPLICIT,)), Context(3, "", (), pdu.NO_SUCH_CLASS))
        value = Associate("PACS", "DME", contexts, 0, {CT: (False, True)}, pdu.IMPLEMENTATION_UID)
    assert pdu.decode_associate(pdu.encode_associate(value, kind)[6:]) == value


@pytest.mark.parametrize("cut", [0, 10, 67, 70, 75, 120, -1])
def test_associate_that_is_cut_off_is_refused(cut: int) -> None:
    body = pdu.encode_associate(REQUEST, pdu.REQUEST)[6:]
    with pytest.raises(ValueError, match=r"cut off|header|A-ASSOCIATE"):
        pdu.decode_associate(body[:cut])


def test_command_is_what_pydicom_reads() -> None:
    command = Command(dimse.MOVE, CT, 7, "DME", dimse.MEDIUM, dimse.WITH_DATA)
    read = read_dataset(BytesIO(dimse.encode(command)), is_implicit_VR=True, is_little_endian=True)
    assert read.CommandGroupLength == len(dimse.encode(command)) - 12
    assert (read.AffectedSOPClassUID, read.CommandField, read.MessageID) == (CT, 0x21, 7)
    assert (read.MoveDestination, read.Priority, read.CommandDataSetType) == ("DME", 0, 0)


@pytest.mark.parametrize(
    "command",
    [
        Command(dimse.STORE, CT, 1, None, 0, dimse.WITH_DATA, sop_uid="1.2.3", originator="A", originator_message=9),
        Command(dimse.GET | dimse.RESPONSE, CT, 1, status=0xB000, completed=1, failed=2, warning=0, comment="no"),
        Command(dimse.CANCEL, message=3),
    ],
)
def test_command_survives_a_round_trip(command: Command) -> None:
    assert dimse.decode(dimse.encode(command)) == command


def test_command_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        dimse.decode(dimse.encode(Command(dimse.ECHO, CT, 1))[:-1])
    with pytest.raises(ValueError, match="command field"):
        dimse.decode(b"")


def test_file_meta_is_what_pydicom_reads() -> None:
    head = file_meta(CT, "1.2.3", EXPLICIT)
    dataset = dcmread(BytesIO(head + struct.pack("<HH2sH2s", 8, 0x60, b"CS", 2, b"CT")))
    assert dataset.Modality == "CT"
    meta = dataset.file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 144
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, "1.2.3")
    assert (meta.TransferSyntaxUID, meta.ImplementationClassUID) == (EXPLICIT, pdu.IMPLEMENTATION_UID)
    assert meta.ImplementationVersionName == pdu.IMPLEMENTATION_NAME
    found = read_meta(head + b"\x08\0\x60\0CS\x02\0CT")
    assert found is not None
    assert (found.sop_class, found.sop_uid, found.transfer_syntax, found.end) == (CT, "1.2.3", EXPLICIT, len(head))
    assert read_meta(head) is None, "the end of the group is not seen"
    assert read_meta(b"no DICOM") is None
