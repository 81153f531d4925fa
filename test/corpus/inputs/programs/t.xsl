<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>
<xsl:template match="/r"><xsl:for-each select="item[@id mod 10 = 3]"><xsl:sort select="." order="descending"/><xsl:value-of select="concat(@id, ': ', translate(., 'aeiou', 'AEIOU'), '&#10;')"/></xsl:for-each>
<xsl:value-of select="format-number(sum(item/@id) div 7, '#,##0.000')"/></xsl:template></xsl:stylesheet>
