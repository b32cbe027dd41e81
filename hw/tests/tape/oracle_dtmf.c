/* Scores the DTMF receiver of libspandsp on a tape of clips, for comparison only (never linked into the product).
 * Input (stdin): per clip a little-endian u32 count of samples, a u32 flag (1: dial-tone filter on), then 16-bit samples.
 * Output: per clip one line with the digits heard. A fresh receiver for each clip. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <spandsp.h>

int main(void)
{
    uint32_t head[2];
    while (fread(head, 4, 2, stdin) == 2) {
        int16_t *samples = malloc(head[0] * 2 + 2);
        char digits[129] = "";
        dtmf_rx_state_t *rx = dtmf_rx_init(NULL, NULL, NULL);
        if (!samples || !rx || fread(samples, 2, head[0], stdin) != head[0])
            return 1;
        if (head[1])
            dtmf_rx_parms(rx, 1, -1, -1, -99);
        for (uint32_t at = 0; at < head[0]; at += 160)
            dtmf_rx(rx, samples + at, head[0] - at < 160 ? (int) (head[0] - at) : 160);
        dtmf_rx_get(rx, digits, 128);
        puts(digits);
        dtmf_rx_free(rx);
        free(samples);
    }
    return 0;
}
