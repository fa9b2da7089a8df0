"""Key providers: they encrypt the keys that backups are encrypted with."""

from . import keyprovider_pb2 as pb
from .meta import Meta, service, unary


def serve_key_provider(name, version, doc, settings, make):
    """Serves a key provider plugin until the host is done with it. Make is the
    plugin's class, or a function that returns an instance of one, and is called
    with the user's settings."""
    meta = Meta("keyprovider", name, version, doc, make, settings)

    def wrap(request):
        key_id, ciphertext = meta.instance(request.instance).wrap(request.data_key)
        return pb.WrapResponse(key_id=key_id, ciphertext=ciphertext)

    def unwrap(request):
        data_key = meta.instance(request.instance).unwrap(request.key_id, request.ciphertext)
        return pb.UnwrapResponse(data_key=data_key)

    def export_key(request):
        return pb.ExportKeyResponse(key=meta.instance(request.instance, "export_key").export_key())

    meta.serve(
        service(
            "brock.plugin.v1.KeyProviderService",
            Wrap=unary(wrap, pb.WrapRequest),
            Unwrap=unary(unwrap, pb.UnwrapRequest),
            ExportKey=unary(export_key, pb.ExportKeyRequest),
        )
    )
