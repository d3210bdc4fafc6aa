/* SPDX-License-Identifier: MIT */
/* The table of octets against the grammars, written out a second time. */
#include "octets.h"
#include "support/test.h"
#include <string.h>

#define ALPHA      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGIT      "0123456789"
#define UNRESERVED ALPHA DIGIT "-._~"
#define SUB_DELIMS "!$&'()*+,;="

static void expect_class(unsigned class, const char *octets)
{
    for (int c = 1; c < 256; c++)
        cr_expect_eq(co__is((char)c, class), strchr(octets, c) != NULL, "octet %d", c);
    cr_expect(!co__is('\0', class));
}

Test(octets, token_characters_are_those_of_rfc_9110)
{
    expect_class(CO__TCHAR, "!#$%&'*+-.^_`|~" DIGIT ALPHA);
}

Test(octets, path_characters_leave_out_what_wants_a_second_look)
{
    char octets[256] = UNRESERVED SUB_DELIMS ":@/";
    char *dot = strchr(octets, '.');

    memmove(dot, dot + 1, strlen(dot));
    expect_class(CO__PATH, octets);
}

Test(octets, a_query_may_hold_what_browsers_do_not_escape)
{
    expect_class(CO__QUERY, UNRESERVED SUB_DELIMS ":@/?"
                                                  "[]{}|\\^`");
}

Test(octets, a_reg_name_has_unreserved_characters_and_sub_delims)
{
    expect_class(CO__HOST, UNRESERVED SUB_DELIMS);
}

Test(octets, digits_are_digits)
{
    expect_class(CO__DIGIT, DIGIT);
    expect_class(CO__HEX, DIGIT "ABCDEFabcdef");
    for (const char *p = DIGIT; *p != '\0'; p++)
        cr_expect_eq(co__hex(*p), (unsigned)(*p - '0'));
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(co__hex("ABCDEF"[i]), (unsigned)i + 10);
        cr_expect_eq(co__hex("abcdef"[i]), (unsigned)i + 10);
    }
}

Test(octets, a_value_has_no_control_characters_but_tabs)
{
    for (int c = 0; c < 256; c++)
        cr_expect_eq(co__is((char)c, CO__VALUE), c == '\t' || (c >= ' ' && c != 0x7f), "octet %d",
                     c);
}
