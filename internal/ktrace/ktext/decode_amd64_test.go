//go:build linux

package ktext

import (
	"encoding/hex"
	"strings"
	"testing"
)

// instructions are of each form of encoding, from the C library and from the
// go command, as objdump divides them.
const instructions = `
	ff35eacf1a00 0f1f4000 6834000000 e9e0ffffff 6690 50 e819000000 488b7c2410 55 53 488d1dc8ea1a00 4881eca8000000
	64488b042528000000 4889842498000000 31c0 48392da6ea1a00 741e ba01000000 f00fb1158fea1a00 4889df 833d81ea1a0000
	7529 bf01000000 c70565ea1a0001000000 b80e000000 0f05 870514ea1a00 7e08 eb05 b926000000 f3ab f4 f70300800000
	488bbb88000000 8b4704 488bbd88000000 0f0b 4885db f30f6f06 0f29042500000000 803d60ae1b0000 66397858 488910 5b
	48893424 644833042530000000 48c1c011 c3 0f94c0 84c0 4157 4156 4154 89f5 4189c4 0f85de000000 be01000000 5d 415c
	480f44f8 2500f00000 415e 7610 48630482 415f 4d8b4500 f7d8 8845a7 c6400200 4b8d546d00 4269742854e01f0000 722e
	6a00 5a 59 73ed f6431001 a801 660fefc0 41bcffffff7f 7c1b 7fe7 79e5 f3410f7e4c2410 660ffec1 660fd65d88 480fafd0
	7dec 66f7c60020 3c2f bb03000000 781f 66817b046c65 bd10000000 774b 0fca 58 0fc8 51 d3fa 410a0424 4152 8a7005
	48d1fa 2b442410 4898 66c747080000 08d1 49bbf8bffffffffff7ff 483dff000000 49b9f8bffffffffff7ff
	49baf8bffffffffff7ff 48b80101010101010101 f348a5 660fc6c102 4889bccd70feffff 49be0100802001000000
	48bf020000000f000000 db6c2418 d9e5 dfe0 ddd8 66250080 dee1 d80dba681600 7a0e 480fbaf13f 660f54d1 a90000807f
	48bdffffffffffffff7f 99 663b03 e3a9 c9 c0e807 a4 40f6df 49bc0921841042082184 7189 41d0ec 486bc311 0f01d5 0f31
	7005 fd fc f3aa 91 660f73fa0f c4e2a0f5da c4e1fb92cb 62f17fc96f0f 62f2764926e1 62f37d483fc200 c5f877 660fc5f800
	660f71d008 c5f96ec6 c5fd740f c5fdd7c1 c5edebe9 0f38f007 66f7d0 fec1 c5fc2820 c5fb93c0 c5f54bc0 660f3a0fda0f 92
	cc 0fa2 8618 66a9f00f 66410f72f710 7b4a d2ea 660fc4c104 cd03 9c 9d c5fb580dbd387800 f20fc2c205 ca56a9
	8e80daf12fc3 c4c37d38450001 c5b573ff0c 4d0facf502 480fa4d908 c5ddfe258c295500 dce9 b645 dae9 c5fb100d9cfc0100
	c5f8ae1c24 c5f3c2c001 f8 ee 6f b1de d7 e64d ec 40fa b259 fb ad b3d4 a2a2fd5fa2a2fd45af af 96 e472 b7c2 e1fd 93
	ae 6c 41f5 e534 f9 f1 e271 a1379696a10a05050f b52f 9f 6e b45a a0a0fb5ba0a0fba452 a6 ed cb b058 cf ef
	a3a3fe804040c08040 6d 97 a7 47c86464ac e732 95 66442222 8c4646 e0e0 4e140a c2c25d 43ac 94 4a18e5 8f45fd 4b02e2
	9e 664c0307 66006666 6614bd 0fb983b3754924 0f30 66664b35578890f6 66490154c823 3e664e3436 490fc7f2 66f697a3c5c533
`

// Each instruction ends where objdump has its end, alone and behind others, and
// one that is cut off is none.
func TestInstructionLengths(t *testing.T) {
	all := strings.Fields(instructions)
	if len(all) < 200 {
		t.Fatalf("%d instructions", len(all))
	}
	for _, text := range all {
		code, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeX86(append(code, 0x90, 0x90)).len; got != len(code) {
			t.Errorf("%s: %d bytes, want %d", text, got, len(code))
		}
		for n := range code {
			if got := decodeX86(code[:n:n]).len; got != 0 && got >= len(code) {
				t.Errorf("the first %d bytes of %s: %d bytes", n, text, got)
			}
		}
	}
}

func TestBranches(t *testing.T) {
	type branch struct {
		at, target uint64
		jump       bool
	}
	for text, want := range map[string][]branch{
		"e8fbffffff":               {{0, 0x1000, false}},
		"90e900010000":             {{1, 0x1106, true}},
		"0f8500000080":             {{0, 1<<64 - 0x7fffeffa, true}},
		"7efe":                     {{0, 0x1000, true}},
		"eb7f":                     {{0, 0x1081, true}},
		"2ee801000000":             {{0, 0x1007, false}}, // a prefix changes nothing
		"c5f877e900000000":         {{3, 0x1008, true}},  // behind vzeroupper
		"0fc7f87202":               {{3, 0x1007, true}},  // behind rdseed
		"48b8e8e8e8e8e8e8e8e8eb00": {{10, 0x100c, true}}, // a number is no instruction
		"ff1500000000ffe0c3":       nil,                  // through a pointer
		"e302e0fe":                 nil,                  // loops leave no function
		"e80000":                   nil,                  // cut off
		"06e800000000":             {{1, 0x1006, false}}, // behind what is no instruction
	} {
		code, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []branch
		decode(code, 0x1000, func(at, target uint64, jump bool) { got = append(got, branch{at - 0x1000, target, jump}) })
		if len(got) != len(want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %+v, want %+v", text, got[i], want[i])
			}
		}
	}
}
