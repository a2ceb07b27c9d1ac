//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, []string{"doctor", "-json"}); status != exitOK || errs.Len() > 0 {
		t.Fatalf("status %d, %s", status, errs.String())
	}
	var r doctorJSON
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Kernel == "" || r.Arch == "" || r.Tier == "" || len(r.Tiers) < 9 || len(r.Facts) == 0 {
		t.Errorf("%+v", r)
	}
	var text bytes.Buffer
	if status := run(&env{stdin: strings.NewReader(""), stdout: &text, stderr: &errs}, []string{"doctor"}); status != exitOK {
		t.Fatalf("status %d, %s", status, errs.String())
	}
	flat := strings.Join(strings.Fields(text.String()), " ")
	for _, tier := range r.Tiers {
		if !strings.Contains(flat, tier.Name+" "+strings.Join(strings.Fields(tier.Gives), " ")) {
			t.Errorf("the text does not tell of %q", tier.Name)
		}
		if tier.OK == (tier.Missing != "") {
			t.Errorf("%+v", tier)
		}
	}
	if strings.Contains(text.String(), "ffffffff") || strings.Contains(text.String(), "\x1b") {
		t.Errorf("an address or a colour in\n%s", text.String())
	}
}

func TestDoctorUsage(t *testing.T) {
	for _, args := range [][]string{{"doctor", "x"}, {"doctor", "-nonsense"}} {
		var out, errs bytes.Buffer
		if status := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args); status != exitUsage || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%v: status %d, %q, %q", args, status, out.String(), errs.String())
		}
	}
}
