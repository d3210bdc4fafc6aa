/* SPDX-License-Identifier: MIT */
/* explain.c - what OpenSSL's errors mean, as numbers of errno and as sentences. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void co__tls_say(struct co_tls_why *why, const char *format, ...)
{
    va_list args;

    if (!why)
        return;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

/* The first error is the cause; those behind it only tell whom it has stopped. */
static const char *cause(int *ret_errno)
{
    unsigned long error = ERR_get_error();
    const char *text;

    *ret_errno = -EINVAL;
    if (error == 0)
        return "OpenSSL does not say why";
    if (ERR_SYSTEM_ERROR(error)) {
        *ret_errno = -ERR_GET_REASON(error);
        return co_strerror(*ret_errno);
    }
    if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        *ret_errno = -ENOMEM;
    text = ERR_reason_error_string(error);
    return text ? text : "OpenSSL does not say why";
}

int co__tls_say_file(struct co_tls_why *why, const char *what, const char *file)
{
    int r;
    const char *text = cause(&r);

    co__tls_say(why, "%s: cannot use the %s: %s", file, what, text);
    ERR_clear_error();
    return r;
}

/* ---- certificates ---- */

/* Appends as much as there is room for. */
__attribute__((format(printf, 2, 3))) static void append(struct co_tls_why *why, const char *format,
                                                         ...)
{
    size_t len = strlen(why->text);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why->text + len, sizeof why->text - len, format, args);
    va_end(args);
}

static void append_address(struct co_tls_why *why, const ASN1_OCTET_STRING *address)
{
    const unsigned char *octets = ASN1_STRING_get0_data(address);

    if (ASN1_STRING_length(address) == 4)
        append(why, " %d.%d.%d.%d", octets[0], octets[1], octets[2], octets[3]);
    else
        append(why, " an IPv6 address");
}

/* The names that a certificate is for. A hostile one is cut, and its odd bytes do not get out. */
static void append_names(struct co_tls_why *why, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int count = sk_GENERAL_NAME_num(names);

    if (count <= 0)
        append(why, " nothing");
    for (int i = 0; i < count && i < 8; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

        if (type == GEN_IPADD) {
            append_address(why, value);
        } else if (type == GEN_DNS) {
            append(why, " ");
            for (int k = 0; k < ASN1_STRING_length(value) && k < 64; k++) {
                unsigned char c = ASN1_STRING_get0_data(value)[k];

                append(why, "%c", c > ' ' && c < 0x7f ? c : '?');
            }
        }
    }
    GENERAL_NAMES_free(names);
}

static void say_names(struct co_tls_why *why, const struct co__tls *tls, X509 *cert)
{
    co__tls_say(why,
                "the certificate is not for %s, but for:", tls->host ? tls->host : "this host");
    if (cert)
        append_names(why, cert);
}

static const char *verdict(long code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not valid yet";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "is self-signed, and not one that we trust";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return "leads to a root that we do not trust";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "has an issuer whom we do not know";
    case X509_V_ERR_INVALID_PURPOSE:
        return "is for another purpose";
    case X509_V_ERR_CERT_REVOKED:
        return "was revoked";
    default:
        return NULL;
    }
}

static void say_verdict(const struct co__tls *tls, struct co_tls_why *why, long code, X509 *cert)
{
    const char *text = verdict(code);

    if (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH)
        say_names(why, tls, cert);
    else if (text)
        co__tls_say(why, "the peer's certificate %s", text);
    else
        co__tls_say(why, "the peer's certificate is no good: %s",
                    X509_verify_cert_error_string(code));
}

int co__tls_on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct co__tls *tls = SSL_get_app_data(ssl);
    struct co_tls_why why = {""};

    if (good)
        return good;
    say_verdict(tls, &why, X509_STORE_CTX_get_error(store), X509_STORE_CTX_get0_cert(store));
    if (!tls->why)
        tls->why = strdup(why.text);
    return 0;
}

/* ---- connections ---- */

/* OpenSSL does not know the names of all that it takes. */
static const char *alert(int number)
{
    return number == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                 : SSL_alert_desc_string_long(number);
}

int co__tls_say_failure(const struct co__tls *tls, struct co_tls_why *why)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    bool ours = ERR_GET_LIB(error) == ERR_LIB_SSL;
    int r = -EPROTO;

    if (ours && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        bool late = SSL_get_verify_result(tls->ssl) == X509_V_ERR_CERT_HAS_EXPIRED;

        co__tls_say(why, "the peer's certificate is no good"); /* co__tls_on_verify knows more */
        r = late ? -EKEYEXPIRED : -EKEYREJECTED;
    } else if (ours && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        co__tls_say(why, "the peer has shown no certificate");
        r = -EKEYREJECTED;
    } else if (ours && reason >= SSL_AD_REASON_OFFSET) {
        co__tls_say(why, "the peer has refused: %s", alert(reason - SSL_AD_REASON_OFFSET));
    } else if (ours && (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)) {
        co__tls_say(why, "the peer speaks HTTP, and not TLS");
    } else if (ours && reason == SSL_R_WRONG_VERSION_NUMBER) {
        co__tls_say(why, "the peer does not speak TLS, or not a version of ours");
    } else {
        const char *text = cause(&r);

        co__tls_say(why, "TLS has failed: %s", text);
        r = r == -ENOMEM ? r : -EPROTO;
    }
    ERR_clear_error();
    return r;
}
