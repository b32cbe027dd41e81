/* Encodes 16 kHz samples from stdin with libspandsp's G.722 at 64 kbit/s and decodes them again, for comparison only.
 * Output: the octets, then the decoded samples. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <spandsp.h>

int main(void)
{
    static int16_t in[1 << 20], back[1 << 20];
    static uint8_t octets[1 << 20];
    int n = (int) fread(in, 2, 1 << 20, stdin) & ~1;
    g722_encode_state_t *e = g722_encode_init(NULL, 64000, 0);
    g722_decode_state_t *d = g722_decode_init(NULL, 64000, 0);
    int coded = g722_encode(e, octets, in, n);
    int decoded = g722_decode(d, back, octets, coded);
    fwrite(octets, 1, (size_t) coded, stdout);
    fwrite(back, 2, (size_t) decoded, stdout);
    return 0;
}
