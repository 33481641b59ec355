// One certificate by HTTP-01 with lego's library: what `lego run` does, without the modules of a
// hundred DNS providers. Prints nothing when all is well.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge/http01"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"
)

type user struct {
	Account *acme.ExtendedAccount
	Key     []byte
	key     crypto.Signer
}

func (u *user) GetEmail() string                        { return "operations@acme.test" }
func (u *user) GetRegistration() *acme.ExtendedAccount { return u.Account }
func (u *user) GetPrivateKey() crypto.Signer           { return u.key }

func main() {
	server := flag.String("server", "", "directory of the authority")
	folder := flag.String("path", "", "where account and certificates are kept")
	listen := flag.String("http.address", "", "address and port that challenges are answered on")
	domain := flag.String("domains", "", "the name")
	flag.Parse()
	if err := run(*server, *folder, *listen, *domain); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(server, folder, listen, domain string) error {
	ctx := context.Background()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file := filepath.Join(folder, "account.json")
	own, err := load(file)
	if err != nil {
		return err
	}
	config := lego.NewConfig(own)
	config.CADirURL = server
	client, err := lego.NewClient(config)
	if err != nil {
		return err
	}
	if own.Account == nil {
		agreed := registration.RegisterOptions{TermsOfServiceAgreed: true}
		if own.Account, err = client.Registration.Register(ctx, agreed); err != nil {
			return err
		}
		text, err := json.Marshal(own)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if err := client.Challenge.SetHTTP01Provider(http01.NewProviderServer(host, port)); err != nil {
		return err
	}
	wish := certificate.ObtainRequest{Domains: []string{domain}, Bundle: true, KeyType: certcrypto.EC256}
	got, err := client.Certificate.Obtain(ctx, wish)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, domain+".crt"), got.Certificate, 0o600)
}

func load(file string) (*user, error) {
	own := &user{}
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, own); err != nil {
			return nil, err
		}
		own.key, err = x509.ParseECPrivateKey(own.Key)
		return own, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	own.key = key
	own.Key, err = x509.MarshalECPrivateKey(key)
	return own, err
}
