"""A client without stubs: it asks for the contract by reflection, in both versions, and calls with what it learns."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness.paths import GUARD


def varint(data, at):
    """The number at a place, and the place behind it."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """(number, bytes) of a message's fields, all of which are of length-delimited kinds."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        length, at = varint(data, at)
        yield key >> 3, data[at : at + length]
        at += length


class Contract:
    """Files of the contract as a node's reflection gives them."""

    def __init__(self, channel, version):
        self.pool, self.known = descriptor_pool.DescriptorPool(), set()
        self.ask = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")

    def learn(self, name):
        """A file, and before it those that it imports."""
        if name in self.known:
            return
        self.known.add(name)
        # file_by_filename is field 3 of the request, file_descriptor_response field 4 of the answer, its files field 1.
        request = b"\x1a" + bytes([len(name)]) + name.encode()
        [answer] = self.ask(iter([request]), timeout=GUARD)
        for data in [file for number, inner in fields(answer) if number == 4 for one, file in fields(inner) if one == 1]:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for other in file.dependency:
                self.learn(other)
            self.pool.Add(file)
            self.known.add(file.name)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"ltx.v1.{name}"))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_a_client_without_stubs(client, version):
    contract = Contract(client.channel, version)
    contract.learn("ltx/v1/node_service.proto")
    request, response = contract.message("GetNodeRequest"), contract.message("GetNodeResponse")
    serialize, parse = request.SerializeToString, response.FromString
    call = client.channel.unary_unary("/ltx.v1.NodeService/GetNode", request_serializer=serialize, response_deserializer=parse)
    assert call(request(), timeout=GUARD).node.models[0].name == "ltx-2.3-tiny"
    assert len(contract.known) >= 3
