// Package backupfile is the bytes of one backup file: what a group of a backup
// looks like at its destination, and the seal that lies beside it.
//
// A file is a row of frames. A frame is a length (uint64, little endian) and a
// marshalled KVList, the message of Badger's own backups; a length of 0 is a
// legal, empty frame. The frames are compressed (gzip, Snappy or S2 framing,
// zstd) and the compressed bytes may be encrypted with AES-CTR under a key of
// 16, 24 or 32 bytes: then a random 16-byte IV comes first, and one key stream
// runs over all that follows. This is the format of Dgraph 20.03 to 25, whose
// files are read and whose readers read these.
//
// A file written here is more than that: a row of independent blocks of about
// 1 MiB of frames. A block is one frame and one compressed run of its own (a
// Snappy stream, a gzip member, a zstd frame); ordinary readers take the row as
// one stream. Entries are sorted by key within a block and blocks within a
// file, and since CTR can seek, any block can be read alone (BlockDecoder).
//
// A Seal names the backup and the group that its file belongs to, lists the
// blocks with the SHA-256 of their stored bytes, and is itself under an
// HMAC-SHA256 if there is a data key, under a SHA-256 if there is none. A file
// with its seal is read by NewSealedReader: not one byte that differs from what
// was written is decoded. A file without (Dgraph's own) is read by NewReader:
// damage is found by the checksums of its compression, and a cut where the
// format shows one. Gzip members and zstd frames have an end; Snappy and S2
// framing have none, so a file of these that was cut between two frames reads
// as a shorter file. Only a seal shows such a cut, or one between two members.
//
// Whatever a file, a seal or a frame claims about its size is believed only as
// far as bytes arrive: see MaxFrame, MaxSeal, MaxExpansion.
package backupfile
